"""What a distortion of one's own gains, and what it costs the six.

    python -m benchmarks.own_distortion examples/jpeg_distortion.py --test-data bsds500/val

Teaches the embedded metric the distortion, as `dps-train --distortions` does, and measures both on
held-out images: the new amount, all rankings of seven distortions, and what became of the six.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from dps_train.bank.bank import FeatureDistances
from dps_train.contexts import all_rankings, random_rankings, ranking_context
from dps_train.custom.custom_distortion import CustomDistortion, split_custom, with_scenes
from dps_train.custom.find import find_custom
from dps_train.data.crops import TRAINING_SIZE, resize_images
from dps_train.data.sources import load_held_out
from dps_train.distortions.paper import NAMES
from dps_train.fit.settings import Settings
from dps_train.fit.training import load_images
from dps_train.fit.variants import teach_own
from dps_train.measure.evaluation import Measures, evaluate
from dps_train.measure.evaluation_bank import EvaluationBank, build_evaluation_bank
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.heads import Head
from dps_train.seeds import generator_for

PAIRS = 30_000
CPU = torch.device("cpu")

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Taught:
    """The embedded metric's head before and after, and held-out images to measure both on."""

    before: Head
    after: Head
    bank: EvaluationBank


@app.command()
def main(
    distortion: Annotated[str, typer.Argument(help="A module, a .py file or a CSV file of pairs.")],
    data: Annotated[str, typer.Option(help="Images to learn from.")] = "sample",
    test_data: Annotated[str, typer.Option(help="Images to measure on.")] = "sample",
    pairs: Annotated[int, typer.Option(min=100, help="Training pairs, and with it.")] = PAIRS,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Teach the embedded metric a distortion, and measure it with it and without."""
    own = find_custom([distortion])
    taught = teach(own, data, test_data, pairs, seed)
    name = own[-1].name
    report = {
        "distortion": name,
        "images": taught.bank.noise.shape[0],
        **gained(taught, name, seed),
        "six": kept(taught),
    }
    if as_json:
        print(json.dumps(report, indent=2))
        return
    table = Table("", "before", "after", title=f"{name}, on {report['images']} held-out images")
    six = report["six"]
    for row in ("mean", "min"):
        table.add_row(f"2AFC, 720 rankings of the six, {row}", *_shown(six, row))
    table.add_row("amounts of the six, mean change", "", f"{six['change']:.5f}")
    table.add_row(f"{report['rankings']} rankings with {name}, mean", "", f"{report['mean']:.4f}")
    table.add_row(f"{report['rankings']} rankings with {name}, min", "", f"{report['min']:.4f}")
    table.add_row("seconds that they took", "", f"{report['seconds']:.0f}")
    table.add_row(f"{name} named", "", f"{report['named']:.4f}")
    table.add_row(f"{name} monotone", "", f"{report['monotonicity']:.4f}")
    Console(width=100).print(table)


def teach(
    own: tuple[CustomDistortion, ...], data: str, test_data: str, pairs: int, seed: int
) -> Taught:
    """Teach the embedded metric distortions, and draw changes of held-out images."""
    training, held_out = split_custom(own, seed)
    settings = Settings(own=training, data=data, pairs=pairs, seed=seed)
    metric = load_universal()
    before = metric.head
    images, _ = load_images(settings)
    teach_own(metric, settings, images, CPU, lambda _: None)
    test_images = load_held_out(test_data, generator_for("images", seed)).images
    shown, distortions = with_scenes(resize_images(test_images, TRAINING_SIZE), held_out)
    distances = FeatureDistances(metric.preprocess, metric.backbone, metric.comparison, CPU)
    generator = generator_for("evaluation", seed)
    bank = build_evaluation_bank(distances, shown, generator, distortions=distortions)
    return Taught(before, metric.head, bank)


def gained(taught: Taught, name: str, seed: int) -> dict[str, Any]:
    """Measure the new amount, and all rankings (of more than seven distortions, 5,040)."""
    contexts = random_rankings(5040, generator_for("rankings", seed), taught.bank.names)
    started = time.perf_counter()
    measures = evaluate(taught.after, taught.bank, contexts)
    seconds = time.perf_counter() - started
    assert measures.score is not None
    assert measures.named is not None
    return {
        "rankings": measures.rankings,
        "mean": measures.score.mean,
        "min": measures.score.min,
        "seconds": seconds,
        "named": measures.named[name],
        "monotonicity": measures.monotonicity[name],
    }


def kept(taught: Taught) -> dict[str, Any]:
    """Measure the six before and after, in their 720 rankings, what is not ranked in the middle."""
    contexts = [ranking_context(c.ranking, taught.bank.names) for c in all_rankings()]
    scores = [_score(evaluate(h, taught.bank, contexts)) for h in (taught.before, taught.after)]
    six = slice(0, len(NAMES))
    with torch.no_grad():
        changes = [
            (taught.after.amounts(z)[..., six] - taught.before.amounts(z)[..., six]).abs()
            for z in (taught.bank.drawn[six].flatten(0, 2), taught.bank.graded[six].flatten(0, 2))
        ]
    return {
        "before": scores[0],
        "after": scores[1],
        "change": float(torch.cat(changes).nanmean()),
    }


def _score(measures: Measures) -> dict[str, float]:
    assert measures.score is not None
    return {"mean": measures.score.mean, "min": measures.score.min}


def _shown(six: dict[str, Any], row: str) -> list[str]:
    return [f"{six[when][row]:.4f}" for when in ("before", "after")]


if __name__ == "__main__":
    app()
