"""Cost of adapting to all 720 rankings: the authors' training compared with a bank of features.

Both costs are measured in one run, on the CPU, with the same network:

* theirs (Pihlgren et al. 2024): for every ranking, 10 epochs; for every triplet, the network runs
  on the reference and both candidates, and the linear head and its judge network are trained, in
  batches of 1024. Steps are timed before, between and after the stages of ours, so that other work
  on the machine slows both alike; the rest is extrapolated. Not counted: distorting the images,
  which their loader does too, and dropout.
* ours: the network runs once per image and change, drawing and distorting included; then all 720
  rankings are evaluated, or 720 linear heads trained, as tensor operations. All of it is timed.

A triplet is a reference with a draw of each of two distortions. Evaluation judges every pair of
draws; training uses every pair of distortions that a crop was drawn with. The ratio compares the
cost of one triplet in one ranking. Theirs draws one triplet per image and epoch, so the smallest
training that their code does on these images is given as well.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import torch
import typer
from torch import Tensor

from benchmarks.shared.options import SeedOption, ThreadsOption
from benchmarks.shared.record import file_input, image_input
from benchmarks.shared.suite import NAME, Measured
from benchmarks.shared.table import Table
from dps_infer.commands.shared.run import say
from dps_train.contexts import all_rankings, pair_table
from dps_train.data.crops import TRAINING_SIZE, random_crops, resize_images
from dps_train.data.sources import load_training
from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import DISTORTIONS
from dps_train.fit.lin import LEARNING_RATE, draw_lin_bank, fit_lin
from dps_train.fit.objectives import BETAS, Judge
from dps_train.measure.evaluation import evaluate, evaluate_adapted
from dps_train.measure.evaluation_bank import DRAWS, build_evaluation_bank
from dps_train.model.backbone.backbones import Backbone, load_backbone
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.codes import ChannelCode
from dps_train.model.comparisons import Comparison
from dps_train.model.context_heads import scalars_in_contexts
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric, Preprocess
from dps_train.seeds import generator_for

PURPOSE = "adaptation-cost"
RANKINGS = 720
THEIR_EPOCHS = 10
PAIRS = comb(len(DISTORTIONS), 2)
AT_ONCE = 64
"""Images that go through the network together: faster here than their 1024."""

Result = TypeVar("Result")


class Cost(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Seconds of one of our tasks.

    Attributes:
        seconds: in all.
        triplets: in each ranking; of training, per epoch.
        per_triplet: seconds of one triplet in one ranking.
        ratio: cost of the authors' training on as many triplets, relative to ours.
        authors_seconds: extrapolated time of that training, 720 rankings and 10 epochs.
    """

    seconds: float
    triplets: int
    per_triplet: float
    ratio: float
    authors_seconds: float


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Times in seconds.

    Attributes:
        backbone: of both sides.
        images: evaluated on.
        authors_batch: triplets in one of their steps.
        authors_steps: each step of theirs, in the order of the run.
        authors_per_triplet: the median step, per triplet.
        authors_smallest_training: extrapolated, with one triplet per image and epoch.
        evaluation_features: what a head of size and presence reads of the images and their changes.
        evaluation_lin_features: channel distances of the images and their changes.
        evaluation_lin: linear heads evaluated in all rankings.
        evaluation_additive: a head of size and presence evaluated in all rankings.
        training_features: features to train linear heads on.
        training_lin: linear heads of all rankings trained.
        evaluating: features and the evaluation of the head of size and presence.
        training: features and the linear heads' training.
    """

    backbone: str
    images: int
    authors_batch: int
    authors_steps: list[float]
    authors_per_triplet: float
    authors_smallest_training: float
    evaluation_features: float
    evaluation_lin_features: float
    evaluation_lin: float
    evaluation_additive: float
    training_features: float
    training_lin: float
    evaluating: Cost
    training: Cost


def measure(
    data: Annotated[str, typer.Option(help="A folder of images, or `sample`.")] = "sample",
    images: Annotated[
        int, typer.Option(min=1, help="Images to evaluate on; repeated if there are fewer.")
    ] = 300,
    backbone: Annotated[str, typer.Option(help="`embedded` or a torchvision model.")] = "embedded",
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the network (safetensors).")
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Triplets in a step of theirs.")] = 1024,
    crops: Annotated[int, typer.Option(min=1, help="Crops to train linear heads on.")] = 600,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
) -> Measured:
    """Time both on the same images with the same network."""
    network = load_backbone(backbone, weights=weights)
    comparison, cpu = Comparison("spatial"), torch.device("cpu")
    # Its head is not used.
    scalars = Metric(Preprocess(TRAINING_SIZE), network, comparison, ScalarHead(1))
    distances = FeatureDistances(scalars, cpu)
    generator = generator_for(PURPOSE, seed)
    loaded = load_training(data, generator)
    sources = loaded.images
    held_out = resize_images([sources[i % len(sources)] for i in range(images)], TRAINING_SIZE)
    contexts = all_rankings()
    step = authors_step(distances, random_crops(sources, batch, TRAINING_SIZE, generator))
    step()  # allocates memory, and is not timed
    steps: list[float] = []

    def timed(task: str, work: Callable[[], Result]) -> tuple[float, Result]:
        """Time a step of theirs, and then a task of ours."""
        say(NAME, f"a step of the authors' training, and {task}")
        steps.append(_timed(step)[0])
        return _timed(work)

    kinds = _with_kinds(network, distances)
    features, bank_of_kinds = timed(
        f"features of {images} images and their changes",
        lambda: build_evaluation_bank(FeatureDistances(kinds, cpu), held_out, generator),
    )
    lin_features, bank = timed(
        f"channel distances of {images} images and their changes",
        lambda: build_evaluation_bank(distances, held_out, generator),
    )
    training_features, z = timed(
        f"features of {crops} crops",
        lambda: draw_lin_bank(
            distances, sources, size=TRAINING_SIZE, generator=generator, crops=crops
        ),
    )
    training, fitted = timed(
        f"training {RANKINGS} linear heads", lambda: fit_lin(z, contexts, generator=generator)
    )
    lin, _ = timed(
        f"evaluating {RANKINGS} linear heads",
        lambda: evaluate_adapted(scalars_in_contexts(fitted), bank, contexts),
    )
    additive, _ = timed(
        f"evaluating {RANKINGS} rankings", lambda: evaluate(kinds.head, bank_of_kinds, contexts)
    )
    steps.append(_timed(step)[0])
    per_triplet = statistics.median(steps) / batch
    figures = Figures(
        backbone=backbone,
        images=images,
        authors_batch=batch,
        authors_steps=steps,
        authors_per_triplet=per_triplet,
        authors_smallest_training=RANKINGS * THEIR_EPOCHS * images * per_triplet,
        evaluation_features=features,
        evaluation_lin_features=lin_features,
        evaluation_lin=lin,
        evaluation_additive=additive,
        training_features=training_features,
        training_lin=training,
        evaluating=_cost(features + additive, images * PAIRS * DRAWS**2, per_triplet),
        training=_cost(training_features + training, len(z) * PAIRS, per_triplet),
    )
    inputs = {"data": image_input(loaded, data)}
    if weights is not None:
        inputs["weights"] = file_input(weights)
    return Measured(figures, inputs)


def tables(figures: Figures) -> dict[str, Table]:
    """Return the costs beside theirs, and our stages one by one."""
    costs = [
        (
            name,
            duration(cost.seconds),
            f"{cost.triplets:,}",
            duration(cost.authors_seconds),
            f"{cost.ratio:,.0f}",
        )
        for name, cost in (
            (f"evaluating all {RANKINGS} rankings", figures.evaluating),
            (f"training {RANKINGS} linear heads", figures.training),
        )
    ]
    smallest = duration(figures.authors_smallest_training)
    costs.append(("their training, one triplet per image", "", f"{figures.images}", smallest, ""))
    stages = (
        ("features of the images and their changes", figures.evaluation_features),
        ("size and presence in all rankings", figures.evaluation_additive),
        ("channel distances of the images and their changes", figures.evaluation_lin_features),
        ("linear heads evaluated", figures.evaluation_lin),
        ("features to train linear heads on", figures.training_features),
        ("linear heads trained", figures.training_lin),
    )
    columns = ("task", "ours", "triplets per ranking", "theirs, extrapolated", "times cheaper")
    title = f"{RANKINGS} rankings, {figures.backbone}, {figures.images} images"
    return {
        "": Table(columns, costs, title),
        "stages": Table(("stage of ours", "time"), [(n, duration(s)) for n, s in stages]),
    }


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it.

    >>> duration(90_000), duration(5400), duration(4.25)
    ('1.0 days', '1.5 hours', '4.2 s')
    """
    if seconds >= 86_400:
        return f"{seconds / 86_400:.1f} days"
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds:.1f} s"


def authors_step(distances: FeatureDistances, references: Tensor) -> Callable[[], None]:
    """Return one step of the authors' training; its images are distorted beforehand.

    Args:
        distances: runs the network and compares features.
        references: float RGB [T, 3, size, size] in [0, 1], one for each triplet.
    """
    generator = generator_for("the authors' way", 0)
    judged = pair_table(all_rankings()[:1])
    kinds = torch.rand(len(references), len(DISTORTIONS), generator=generator).argsort(dim=1)
    candidates = [
        torch.cat(
            [
                quantize(d.apply(image, d.sample(1, generator)))
                for image, d in zip(
                    references.split(1), (DISTORTIONS[int(k)] for k in kinds[:, place]), strict=True
                )
            ]
        )
        for place in (0, 1)
    ]
    judge = judged[:, kinds[:, 1], kinds[:, 0]].float()
    channels = distances.z(distances.maps(references[:2]), references[:2]).shape[1]
    scalars = torch.full((1, channels), channels**-0.5, requires_grad=True)
    objective = Judge(1, generator)
    optimizer = torch.optim.Adam([scalars, *objective.parameters()], lr=LEARNING_RATE, betas=BETAS)

    def step() -> None:
        first, second = [], []
        for reference, p0, p1 in zip(
            references.split(AT_ONCE), *(c.split(AT_ONCE) for c in candidates), strict=True
        ):
            maps = distances.maps(reference)
            first.append(distances.z(maps, p0))
            second.append(distances.z(maps, p1))
        d0, d1 = scalars @ torch.cat(first).T, scalars @ torch.cat(second).T
        loss = objective(d0, d1, judge, torch.ones_like(judge, dtype=torch.bool))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            scalars.clamp_(min=0)

    return step


def _with_kinds(network: Backbone, distances: FeatureDistances) -> ChangeMetric:
    """Return an untrained metric of size and presence: it costs the same as a trained one."""
    few = torch.zeros(1, 3, TRAINING_SIZE, TRAINING_SIZE)
    channels = distances.z(distances.maps(few), few).shape[1]
    code = ChannelCode(Comparison("spatial"), channels)
    return ChangeMetric(Preprocess(TRAINING_SIZE), network, code).eval()


def _cost(seconds: float, triplets: int, authors_per_triplet: float) -> Cost:
    authors_seconds = RANKINGS * THEIR_EPOCHS * triplets * authors_per_triplet
    return Cost(
        seconds=seconds,
        triplets=triplets,
        per_triplet=seconds / (RANKINGS * triplets),
        ratio=authors_seconds / seconds,
        authors_seconds=authors_seconds,
    )


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result
