"""What adapting to all 720 rankings costs, the authors' way and with a bank.

``python -m benchmarks.adaptation_cost``. Both costs are measured in one run, on the CPU, with the
same network:

* theirs (Pihlgren et al. 2024): for every ranking, 10 epochs; for every triplet, the network
  runs on the reference and both candidates, and the linear head and its judge are trained, in
  batches of 1024. One batch is timed, and the rest extrapolated. Distorting the images, which
  their loader does as well, is not counted; nor is dropout on the maps.
* ours: the network runs once per image and change, drawing and distorting included, then all
  720 rankings are evaluated, or 720 linear heads trained, as tensor work. All of it is timed.

A triplet is a reference with a draw of each of two distortions. Evaluation judges every pair
of draws; training every pair of distortions that a crop was drawn with. The ratio compares the
costs of one triplet in one ranking. Theirs draws one triplet per image and epoch, so the
smallest training that its code would do on these images is stated too.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dps_infer.commands.shared.run import DebugOption, run, say
from dps_train.bank.bank import FeatureDistances
from dps_train.contexts import AMOUNTS, all_rankings, pair_table
from dps_train.data.crops import TRAINING_SIZE, random_crops, resize_images
from dps_train.data.sources import load_training
from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import DISTORTIONS
from dps_train.fit.lin import LEARNING_RATE, draw_lin_bank, fit_lin
from dps_train.fit.objectives import BETAS, Judge
from dps_train.measure.evaluation import evaluate, evaluate_adapted
from dps_train.measure.evaluation_bank import DRAWS, EvaluationBank, build_evaluation_bank
from dps_train.model.backbones import load_backbone
from dps_train.model.comparisons import Comparison
from dps_train.model.context_heads import scalars_in_contexts
from dps_train.model.heads import ChannelHead
from dps_train.model.metric import Preprocess
from dps_train.seeds import generator_for
from dps_train.versions import installed_versions

NAME = "adaptation-cost"
RANKINGS = 720
THEIR_EPOCHS = 10
PAIRS = comb(len(DISTORTIONS), 2)
AT_ONCE = 64
"""Images that go through the network together: faster here than their 1024."""

GOAL = 500

Result = TypeVar("Result")

app = typer.Typer(
    name=NAME, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@dataclass(frozen=True)
class Cost:
    """Seconds of one way, and what they paid for.

    Attributes:
        seconds: in all.
        triplets: per ranking; of a training, per epoch.
        per_triplet: seconds of one triplet in one ranking.
        ratio: how many times cheaper that is than the authors' training on as many triplets.
        authors_seconds: what that training would take for 720 rankings and 10 epochs,
            extrapolated.
    """

    seconds: float
    triplets: int
    per_triplet: float
    ratio: float
    authors_seconds: float


@dataclass(frozen=True)
class Report:
    """All that was measured, in seconds."""

    machine: dict[str, str]
    backbone: str
    images: int
    authors_batch: int
    authors_per_triplet: float
    authors_smallest_training: float
    evaluation_features: float
    evaluation_lin: float
    evaluation_additive: float
    training_features: float
    training_lin: float
    evaluating: Cost
    training: Cost


@app.command()
def adaptation_cost(
    data: Annotated[str, typer.Option(help="A folder of images, or `sample`.")] = "sample",
    images: Annotated[
        int, typer.Option(min=1, help="How many to evaluate on; given again if there are fewer.")
    ] = 300,
    backbone: Annotated[str, typer.Option(help="`embedded` or a torchvision model.")] = "embedded",
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the network (safetensors).")
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Triplets in a batch of theirs.")] = 1024,
    crops: Annotated[int, typer.Option(min=1, help="Crops that lin heads are trained on.")] = 600,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    debug: DebugOption = False,
) -> None:
    """Measure what adapting to all 720 rankings costs, the authors' way and with a bank."""
    report = measure(data, images, backbone, weights, batch=batch, crops=crops, seed=seed)
    if as_json:
        print(json.dumps(asdict(report), indent=2, allow_nan=False))
    else:
        print_report(report)


def measure(
    data: str,
    count: int,
    backbone: str,
    weights: Path | None,
    *,
    batch: int,
    crops: int,
    seed: int,
) -> Report:
    """Time both ways on the same images with the same network."""
    network = load_backbone(backbone, weights=weights)
    distances = FeatureDistances(
        Preprocess(TRAINING_SIZE), network, Comparison("spatial"), torch.device("cpu")
    )
    generator = generator_for(NAME, seed)
    sources = load_training(data, generator).images
    held_out = resize_images([sources[i % len(sources)] for i in range(count)], TRAINING_SIZE)
    contexts = all_rankings()

    say(NAME, "the authors' way: one batch")
    references = random_crops(sources, batch, TRAINING_SIZE, generator)
    per_triplet = authors_batch_seconds(distances, references) / batch

    say(NAME, f"ours: features of {count} images and their changes")
    features, bank = _timed(lambda: build_evaluation_bank(distances, held_out, generator))
    say(NAME, f"ours: {RANKINGS} linear heads")
    training_features, z = _timed(
        lambda: draw_lin_bank(
            distances, sources, size=TRAINING_SIZE, generator=generator, crops=crops
        )
    )
    training, fitted = _timed(lambda: fit_lin(z, contexts, generator=generator))
    say(NAME, f"ours: {RANKINGS} rankings evaluated")
    lin, _ = _timed(lambda: evaluate_adapted(scalars_in_contexts(fitted), bank, contexts))
    additive, _ = _timed(lambda: evaluate(_additive(bank), bank, contexts))
    return Report(
        machine=machine(),
        backbone=backbone,
        images=count,
        authors_batch=batch,
        authors_per_triplet=per_triplet,
        authors_smallest_training=RANKINGS * THEIR_EPOCHS * count * per_triplet,
        evaluation_features=features,
        evaluation_lin=lin,
        evaluation_additive=additive,
        training_features=training_features,
        training_lin=training,
        evaluating=_cost(features + additive, count * PAIRS * DRAWS**2, per_triplet),
        training=_cost(training_features + training, len(z) * PAIRS, per_triplet),
    )


def authors_batch_seconds(distances: FeatureDistances, references: Tensor) -> float:
    """Return how long one step of the authors' training takes, distorting not counted.

    Args:
        distances: runs the network and compares.
        references: float RGB [T, 3, size, size] in [0, 1], one a triplet.
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

    # The first step warms caches up; of the other two the faster counts.
    return min(_timed(step)[0] for _ in range(3))


def machine() -> dict[str, str]:
    """Describe what the times were measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        **installed_versions(("torch", "torchvision", "numpy")),
    }


def print_report(report: Report) -> None:
    """Print the table for people."""
    table = Table(
        "what",
        "seconds",
        "triplets a ranking",
        "microseconds each",
        "theirs would take",
        "times cheaper",
        title=f"720 rankings, {report.backbone} network, {report.images} images, "
        f"{report.machine['threads']} thread(s)",
        caption=f"theirs: {RANKINGS} rankings x {THEIR_EPOCHS} epochs x triplets, extrapolated "
        f"from one batch of {report.authors_batch}; goal: {GOAL} times cheaper",
        box=box.SIMPLE,
    )
    table.add_row(
        f"the authors' training, {THEIR_EPOCHS} epochs",
        "",
        "",
        f"{1e6 * THEIR_EPOCHS * report.authors_per_triplet:.0f}",
        "",
        "1",
    )
    for name, cost in (
        ("features, and all rankings evaluated", report.evaluating),
        ("features, and all lin heads trained", report.training),
    ):
        table.add_row(
            name,
            f"{cost.seconds:.1f}",
            f"{cost.triplets}",
            f"{1e6 * cost.per_triplet:.3f}",
            _duration(cost.authors_seconds),
            f"{cost.ratio:.0f}",
        )
    table.add_section()
    for name, seconds in (
        ("features of the images and their changes", report.evaluation_features),
        ("all rankings evaluated, additive head", report.evaluation_additive),
        ("all rankings evaluated, lin heads", report.evaluation_lin),
        ("features to train lin on", report.training_features),
        ("all lin heads trained", report.training_lin),
    ):
        table.add_row(name, f"{seconds:.1f}")
    table.add_section()
    table.add_row(
        "theirs, with one triplet an image and epoch",
        "",
        str(report.images),
        "",
        _duration(report.authors_smallest_training),
    )
    Console(highlight=False, width=None if sys.stdout.isatty() else 140).print(table)


def _additive(bank: EvaluationBank) -> ChannelHead:
    """Return an additive head that was not trained: what it says costs no more and no less."""
    head = ChannelHead(bank.drawn.shape[-1], AMOUNTS)
    head.fit_scales(bank.drawn.flatten(0, -2))
    return head


def _cost(seconds: float, triplets: int, authors_per_triplet: float) -> Cost:
    per_triplet = seconds / (RANKINGS * triplets)
    authors_seconds = RANKINGS * THEIR_EPOCHS * triplets * authors_per_triplet
    return Cost(seconds, triplets, per_triplet, authors_seconds / seconds, authors_seconds)


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _duration(seconds: float) -> str:
    if seconds >= 86_400:
        return f"{seconds / 86_400:.1f} days"
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds:.1f} s"


def main() -> NoReturn:
    """Run the benchmark and leave with its exit code."""
    run(app, NAME)


if __name__ == "__main__":
    main()
