"""Judgements needed to learn a context: drawn at random, or asked by the page of `dps-train judge`.

Simulated people have hidden importances (log-normal, sigma 1.2) of the embedded metric's amounts,
and one answer in ten is wrong. Importances are fitted to the answers; agreement is the share of
held-out triplets that they decide as the hidden ones do. A triplet is a reference and two changes
of it, each of one or two distortions of random strength; near ties, whose distances differ by less
than 10 %, are left out unless stated. Here the page's own session asks, without a browser;
`judgements_browser` answers on the page itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.shared.options import SeedOption, ThreadsOption
from benchmarks.shared.record import Input, image_input
from benchmarks.shared.suite import NAME, Measured
from benchmarks.shared.table import Table
from dps_infer.commands.shared.run import say
from dps_train.contexts import AMOUNTS
from dps_train.data.crops import TRAINING_SIZE, resize_images
from dps_train.data.sources import Images, load_held_out, load_training
from dps_train.distortions.families import draw_family
from dps_train.judge.answers import AnswerFile
from dps_train.judge.pool import Pool, draw_pool
from dps_train.judge.session import Session
from dps_train.judgements.importances import Numbers, fit_differences, scaled_differences
from dps_train.judgements.read_triplets import FEWEST_JUDGEMENTS
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for

PURPOSE = "judgements"
SPREAD = 1.2
WRONG = 0.1
APART = 1.1
"""Ratio of the distances from which a triplet is no near tie."""

COUNTS = (20, 100, 500)
GOALS = (0.88, 0.93, 0.95)
REACHED = 0.92
ASKED = 40
PAGE_COUNTS = range(5, ASKED + 1, 5)
MOST_RANDOM = 150

FAMILY = (("graded", 2), ("two", 4))
MEMBERS = torch.tensor([0, 1, 4, 5])
"""Members of the family: one distortion, weaker or stronger, and two in either order."""

BATCH = 100

JudgedOption = Annotated[str, typer.Option(help="Images to judge: a folder, or `sample`.")]
HeldOutOption = Annotated[
    str, typer.Option(help="Images of the held-out triplets: a folder, or `sample`.")
]
TripletsOption = Annotated[int, typer.Option(min=500, help="Triplets to draw, of each kind.")]


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Agreement averaged over the people.

    Attributes:
        people: number of hidden importances.
        random: by the number of random triplets, without near ties.
        random_all: the same with near ties.
        page: by the number of answers on the page, without near ties.
        page_answers: answers on the page after which agreement stays at `REACHED` or above; None
            if more than `ASKED`.
        random_answers: the same for random triplets of the page's pool; None if more than
            `MOST_RANDOM`.
    """

    people: int
    random: dict[int, float]
    random_all: dict[int, float]
    page: dict[int, float]
    page_answers: int | None
    random_answers: int | None


OnThePage = Callable[[Numbers, np.random.Generator, int], list[float]]
"""Returns the agreement after each of `ASKED` answers on the page. Arguments: the hidden
importances, the generator of mistakes, and the person's number."""


@dataclass(frozen=True)
class Held:
    """Held-out triplets: amounts of both candidates [T, A]."""

    first: Tensor
    second: Tensor

    def score(self, hidden: Numbers, fitted: Numbers, *, near_ties: bool = False) -> float:
        """Return the share of triplets that fitted importances decide as hidden ones do."""
        first, second = self.first.double().numpy(), self.second.double().numpy()
        d0, d1 = first @ hidden, second @ hidden
        counted = np.maximum(d0, d1) >= (1 if near_ties else APART) * np.minimum(d0, d1)
        agree = (first @ fitted > second @ fitted) == (d0 > d1)
        return float(agree[counted].mean())


@dataclass(frozen=True)
class Setting:
    """The settings that all simulated people share.

    Attributes:
        metric: the embedded one.
        asked: random triplets to judge, amounts of both candidates [T, A].
        held: held-out triplets.
        pool: the pool from which the page asks.
        inputs: the images.
    """

    metric: Metric
    asked: tuple[Tensor, Tensor]
    held: Held
    pool: Pool
    inputs: dict[str, Input]


def measure(
    train_data: JudgedOption = "sample",
    data: HeldOutOption = "sample",
    people: Annotated[int, typer.Option(min=1, help="Hidden importances to draw.")] = 40,
    triplets: TripletsOption = 2000,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
) -> Measured:
    """Let simulated people judge without a browser."""
    setting = prepare(train_data, data, triplets, seed)
    figures = simulate(setting, people, seed, partial(_by_session, setting))
    return Measured(figures, setting.inputs)


def tables(figures: Figures) -> dict[str, Table]:
    """Return agreement by the number of answers, and the answers that a good agreement takes."""
    rows = [
        ("random", f"{count}", f"{score:.3f}", f"{figures.random_all[count]:.3f}", f"{goal}")
        for (count, score), goal in zip(figures.random.items(), GOALS, strict=True)
    ]
    rows += [("page", f"{count}", f"{score:.3f}", "", "") for count, score in figures.page.items()]
    title = f"{figures.people} people, one answer in ten wrong"
    columns = ("triplets", "answers", "agreement", "with near ties", "goal")
    page, rand = figures.page_answers, figures.random_answers
    needed = [
        ("page", f"{page or f'more than {ASKED}'}"),
        ("random, from the page's pool", f"{rand or f'more than {MOST_RANDOM}'}"),
    ]
    if page is not None and rand is not None:
        needed.append(("saved by the page", f"{1 - page / rand:.0%}"))
    return {
        "": Table(columns, rows, title),
        "needed": Table(("triplets", f"answers until agreement stays above {REACHED}"), needed),
    }


def prepare(train_data: str, data: str, triplets: int, seed: int) -> Setting:
    """Draw the triplets, and the page's pool."""
    generator = generator_for(PURPOSE, seed)
    metric = load_universal()
    say(NAME, "drawing triplets")
    judged = load_training(train_data, generator)
    asked = draw_triplets(metric, judged, triplets, generator)
    held_out = load_held_out(data, generator)
    held = Held(*draw_triplets(metric, held_out, triplets, generator))
    # The pool of `dps-train judge` with this seed.
    pool = draw_pool(train_data, metric, generator_for("judge", seed), Path("none"))
    inputs = {"train_data": image_input(judged, train_data), "data": image_input(held_out, data)}
    return Setting(metric, asked, held, pool, inputs)


def draw_triplets(
    metric: Metric, images: Images, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw triplets whose references are the images in turn: amounts of the candidates [T, A]."""
    distances = FeatureDistances(metric, torch.device("cpu"))
    rows = torch.arange(count) % len(images.images)
    whole_images = resize_images(images.images, TRAINING_SIZE)
    first: list[Tensor] = []
    second: list[Tensor] = []
    for some in rows.split(BATCH):
        references = whole_images[some]
        maps = distances.maps(references)
        for amounts in (first, second):
            family = torch.stack([d.images for d in draw_family(references, generator, FAMILY)])
            member = MEMBERS[torch.randint(len(MEMBERS), (len(some),), generator=generator)]
            changed = family[member, torch.arange(len(some))]
            with torch.no_grad():
                amounts.append(metric.head.amounts(distances.z(maps, changed)))
    return torch.cat(first), torch.cat(second)


def simulate(setting: Setting, people: int, seed: int, on_the_page: OnThePage) -> Figures:
    """Let every person answer random triplets, and on the page."""
    differences = scaled_differences(*setting.asked)
    held = setting.held
    rows: list[list[float]] = []
    rows_all: list[list[float]] = []
    page: list[list[float]] = []
    rand: list[list[float]] = []
    for number in range(people):
        rng = np.random.default_rng([seed, number])
        hidden = np.exp(SPREAD * rng.standard_normal(len(AMOUNTS)))
        order = rng.permutation(len(differences))
        given = answers(differences @ hidden, rng)
        fits = [
            fit_differences(differences[order[:count]], given[order[:count]]).mode
            for count in COUNTS
        ]
        rows.append([held.score(hidden, fitted) for fitted in fits])
        rows_all.append([held.score(hidden, fitted, near_ties=True) for fitted in fits])
        page.append(on_the_page(hidden, rng, number))
        rand.append(_at_random(setting, hidden, rng))
        say(NAME, f"person {number + 1} of {people}")
    curve = np.mean(page, axis=0)
    return Figures(
        people=people,
        random=dict(zip(COUNTS, np.mean(rows, axis=0).tolist(), strict=True)),
        random_all=dict(zip(COUNTS, np.mean(rows_all, axis=0).tolist(), strict=True)),
        page={count: float(curve[count - 1]) for count in PAGE_COUNTS},
        page_answers=_reached(curve),
        random_answers=_reached(np.mean(rand, axis=0)),
    )


def answers(difference: Numbers, rng: np.random.Generator) -> Numbers:
    """Return judgements, one in ten wrong: 1 where the second candidate is closer.

    Args:
        difference: distance of the first candidate minus that of the second.
        rng: draws the mistakes.
    """
    right = difference > 0
    given: Numbers = np.where(rng.random(len(right)) < WRONG, ~right, right).astype(np.float64)
    return given


def _by_session(
    setting: Setting, hidden: Numbers, rng: np.random.Generator, number: int
) -> list[float]:
    """Answer the questions of the page's session; see `OnThePage`."""
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        file = AnswerFile(Path(folder) / "judgements.csv")
        session = Session(file, setting.metric, setting.pool, number)
        for count in range(1, ASKED + 1):
            question = session.question
            assert question is not None
            (judge,) = answers(question.difference[None] @ hidden, rng)
            assert session.answer(count, judge)
            scores.append(setting.held.score(hidden, session.fitted.mode))
    return scores


def _at_random(setting: Setting, hidden: Numbers, rng: np.random.Generator) -> list[float]:
    """Return the agreement after each of `MOST_RANDOM` answers to random triplets of the pool."""
    pool = setting.pool
    rows = rng.permutation(len(pool.triplets))[:MOST_RANDOM]
    differences = pool.differences[rows]
    given = answers(differences @ hidden, rng)
    return [
        setting.held.score(hidden, fit_differences(differences[:count], given[:count]).mode)
        for count in range(1, len(rows) + 1)
    ]


def _reached(curve: Numbers) -> int | None:
    """Return the number of answers after which agreement stays at `REACHED` or above.

    ``dps-train`` needs at least `FEWEST_JUDGEMENTS`.
    """
    below = np.flatnonzero(curve < REACHED)
    count = max(FEWEST_JUDGEMENTS, int(below[-1]) + 2 if len(below) else 1)
    return count if count <= len(curve) else None
