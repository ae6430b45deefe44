"""A distortion of the user's own: accuracy of its amount, and the effect on the other six.

Teaches the embedded metric the distortion, as `dps-train --distortions` does, and measures it on
held-out images before and after: the new amount, all rankings of seven distortions, and those of
the six.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import torch
import typer

from benchmarks.shared.options import DataOption, SeedOption, ThreadsOption
from benchmarks.shared.record import ROOT, Input, file_input, image_input, shown
from benchmarks.shared.suite import NAME, Measured
from benchmarks.shared.table import Table
from dps_infer.commands.shared.run import say
from dps_infer.contexts.context import Context, ranking_context
from dps_train.contexts import all_rankings, random_rankings
from dps_train.custom.custom_distortion import CustomDistortion, split_custom, with_scenes
from dps_train.custom.find import find_custom
from dps_train.data.crops import TRAINING_SIZE, resize_images
from dps_train.data.sources import load_held_out
from dps_train.distortions.paper import NAMES
from dps_train.fit.settings import Settings
from dps_train.fit.train_variant import train_additive
from dps_train.fit.training import load_images
from dps_train.measure.evaluation import evaluate
from dps_train.measure.evaluation_bank import EvaluationBank, build_evaluation_bank
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.heads import Head
from dps_train.seeds import generator_for

EXAMPLE = ROOT / "examples" / "jpeg_distortion.py"
RANKINGS = 5040
"""All rankings of seven distortions; of more, so many are drawn."""

CPU = torch.device("cpu")


class Score(msgspec.Struct, forbid_unknown_fields=True):
    """2AFC over several rankings."""

    mean: float
    min: float


class Learned(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Measures of a metric that learned the distortion from one source of images.

    Attributes:
        source: of the images.
        named: share of draws whose largest amount is the new one.
        monotonicity: Spearman correlation of distance with the new distortion's strength.
        score: in all rankings with the new distortion.
        six: in the rankings of the six.
        change: of the amounts of the six, absolute, mean over their draws.
    """

    source: str
    named: float
    monotonicity: float
    score: Score
    six: Score
    change: float


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Measures by source of training images, and those before training."""

    distortion: str
    images: int
    before: Score
    learned: list[Learned]


@dataclass(frozen=True)
class Taught:
    """The embedded metric's head before and after, and changes of held-out images."""

    before: Head
    after: Head
    bank: EvaluationBank
    inputs: dict[str, Input]


def measure(
    distortion: Annotated[
        str | None,
        typer.Option(
            help="A module, a .py file or a CSV file of pairs.  "
            "[default: examples/jpeg_distortion.py]"
        ),
    ] = None,
    data: DataOption = "sample",
    train_data: Annotated[
        list[str] | None,
        typer.Option(
            help="Images to learn from: a folder, or `sample`. Repeat it to compare several.  "
            "[default: sample]"
        ),
    ] = None,
    pairs: Annotated[int, typer.Option(min=100, help="Training pairs.")] = 30_000,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
) -> Measured:
    """Teach the distortion from each source of images, and measure it."""
    source_of_distortion = distortion or str(EXAMPLE)
    own = find_custom([source_of_distortion])
    name = own[-1].name
    inputs = {}
    if Path(source_of_distortion).is_file():
        inputs["distortion"] = file_input(Path(source_of_distortion))
    learned = []
    for source in train_data or ["sample"]:
        say(NAME, f"learning {name} from {shown(source)}")
        taught = teach(own, source, data, pairs, seed)
        inputs.update(taught.inputs)
        six, before, change = _six(taught)
        learned.append(_learned(taught, name, shown(source), seed, six, change))
    figures = Figures(
        distortion=name,
        images=taught.bank.noise.shape[0],
        before=before,
        learned=learned,
    )
    return Measured(figures, inputs)


def tables(figures: Figures) -> dict[str, Table]:
    """Return the measures, a column for each source of training images."""
    name, learned = figures.distortion, figures.learned
    before = _shown(figures.before)
    rows = [
        (f"named ({name} is the largest amount)", *(f"{one.named:.3f}" for one in learned)),
        ("distance follows its strength", *(f"{one.monotonicity:.3f}" for one in learned)),
        (f"2AFC in rankings with {name}: mean, lowest", *(_shown(one.score) for one in learned)),
        ("2AFC of the six before: mean, lowest", *(before for _ in learned)),
        ("2AFC of the six after: mean, lowest", *(_shown(one.six) for one in learned)),
        ("mean change of the amounts of the six", *(f"{one.change:.4f}" for one in learned)),
    ]
    columns = ("measure", *(f"learned from {one.source}" for one in learned))
    return {"": Table(columns, rows, f"{name}, {figures.images} held-out images")}


def teach(
    own: tuple[CustomDistortion, ...], train_data: str, data: str, pairs: int, seed: int
) -> Taught:
    """Teach the embedded metric distortions, and draw changes of held-out images."""
    training, held_out = split_custom(own, seed)
    settings = Settings(custom=training, data=train_data, pairs=pairs, seed=seed)
    metric = load_universal()
    before = metric.head
    images, _ = load_images(settings)
    train_additive(metric, settings, images, CPU)
    test_images = load_held_out(data, generator_for("images", seed))
    measured, distortions = with_scenes(resize_images(test_images.images, TRAINING_SIZE), held_out)
    distances = FeatureDistances(metric, CPU)
    generator = generator_for("evaluation", seed)
    bank = build_evaluation_bank(distances, measured, generator, distortions=distortions)
    inputs = {
        "data": image_input(test_images, data),
        f"train_data {shown(train_data)}": image_input(images, train_data),
    }
    return Taught(before, metric.head, bank, inputs)


def _learned(
    taught: Taught, name: str, source: str, seed: int, six: Score, change: float
) -> Learned:
    """Measure the new amount, and the rankings with the new distortion."""
    contexts = random_rankings(RANKINGS, generator_for("rankings", seed), taught.bank.names)
    measures = evaluate(taught.after, taught.bank, contexts)
    monotonicity = measures.monotonicity[name]
    assert measures.score is not None
    assert measures.named is not None
    assert monotonicity is not None
    return Learned(
        source=source,
        named=measures.named[name],
        monotonicity=monotonicity,
        score=Score(measures.score.mean, measures.score.min),
        six=six,
        change=change,
    )


def _six(taught: Taught) -> tuple[Score, Score, float]:
    """Return the scores of the six after and before, and the change of their amounts.

    In their rankings the new distortion counts in between.
    """
    contexts = [ranking_context(c.order, taught.bank.names) for c in all_rankings()]
    after, before = (_score(head, taught.bank, contexts) for head in (taught.after, taught.before))
    six = slice(0, len(NAMES))
    with torch.no_grad():
        changes = [
            (taught.after.amounts(z)[..., six] - taught.before.amounts(z)[..., six]).abs()
            for z in (taught.bank.drawn[six].flatten(0, 2), taught.bank.graded[six].flatten(0, 2))
        ]
    return after, before, float(torch.cat(changes).nanmean())


def _score(head: Head, bank: EvaluationBank, contexts: list[Context]) -> Score:
    measures = evaluate(head, bank, contexts)
    assert measures.score is not None
    return Score(measures.score.mean, measures.score.min)


def _shown(score: Score) -> str:
    return f"{score.mean:.3f}, {score.min:.3f}"
