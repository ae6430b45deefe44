"""``dps-train evaluate`` without --ladders and --scores: measures on distorted images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dps_infer.errors import UsageError
from dps_infer.files.write import atomic_file, check_output
from dps_infer.runtime.device import Device
from dps_train.commands.options import EvaluateOptions, note, parse_rankings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dps_infer.contexts.context import Context
    from dps_train.distortions.distortion import Distortion
    from dps_train.evaluate.target import Target
    from dps_train.judgements.agreement import JudgementScores
    from dps_train.measure.evaluation import Measures

UNIVERSAL_RANKINGS = 20
"""Default number of rankings for metrics without a context."""

MOST_IMAGES = 500
"""Maximum number of held-out images. The error of a mean over 500 images is about 0.005, and every
image stands for 200 changes."""


def evaluate_distorted(options: EvaluateOptions) -> None:
    """Measure a metric on distorted images, print the measures, and write the file.

    Raises:
        DpsError: see the functions called.
    """
    if options.json_file is not None:
        check_output(options.json_file, force=options.force, inputs=options.inputs)
    import torch

    from dps_train.custom.custom_distortion import all_distortions, with_scenes
    from dps_train.custom.find import find_custom
    from dps_train.evaluate.heads import chosen_heads
    from dps_train.evaluate.target import load_target

    custom = find_custom(options.distortions)
    names = tuple(distortion.name for distortion in all_distortions(custom))
    asked_rankings = (
        None if options.rankings is None else parse_rankings(options.rankings, len(names))
    )
    target = load_target(options.path, device=options.device, names=names)
    generator = torch.Generator().manual_seed(options.seed)
    if target.context is None and options.rankings is None:
        asked_rankings = UNIVERSAL_RANKINGS
    measured_in = _contexts(target, asked_rankings, generator, names)
    asked_heads = chosen_heads(options.heads, target, options.train_data)
    if target.context is None and (options.bapps is not None or options.triplets is not None):
        raise UsageError(
            f"--bapps and --triplets measure in one context, and {target.name} has none: name a "
            "run or a plain context file (dps-export --ranking color,blur makes one)"
        )
    images, shown = with_scenes(
        _held_out(options.data, target.size, options.seed, generator), custom
    )
    people = _people(target, options.bapps, options.triplets, options.device)
    measures = _measure(target, asked_heads, images, measured_in, shown, options)
    if options.json_file is not None:
        report = _report(measures, target.head, asked_heads, people, options.seed)
        with atomic_file(options.json_file, force=options.force) as temporary:
            temporary.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    _print({head: measures[head] for head in asked_heads}, target, people)


def _contexts(
    target: Target, count: int | None, generator: torch.Generator, names: tuple[str, ...]
) -> list[Context]:
    """Return `count` random rankings to measure in, or the metric's own context for None."""
    from dps_train.contexts import random_rankings

    if count is None:
        if target.context is None:
            raise UsageError(
                f"{target.name} has no context of its own: give --rankings a number, or all"
            )
        return [target.context]
    if target.why_fixed is not None:
        raise UsageError(
            f"--rankings: {target.name} can be measured only in its own context, because "
            f"{target.why_fixed}: leave --rankings out"
        )
    return random_rankings(count, generator, names)


def _held_out(data: str, size: int, seed: int, generator: torch.Generator) -> Tensor:
    """Return images to measure on [M, 3, size, size], at most `MOST_IMAGES` of them."""
    import torch

    from dps_train.data.crops import resize_images
    from dps_train.data.sources import load_held_out
    from dps_train.seeds import generator_for

    images = load_held_out(data, generator).images
    if len(images) > MOST_IMAGES:
        note(f"measured on {MOST_IMAGES} of the {len(images)} images of {data}, drawn by the seed")
        order = torch.randperm(len(images), generator=generator_for("held-out images", seed))
        images = tuple(images[row] for row in sorted(order[:MOST_IMAGES].tolist()))
    return resize_images(images, size)


def _people(
    target: Target, bapps: Path | None, triplets: Path | None, device: Device
) -> JudgementScores | None:
    """Measure the agreement with people, if judgements are given."""
    if bapps is None and triplets is None:
        return None
    from dps_train.devices import pick_device
    from dps_train.judgements.agreement import score_judgements
    from dps_train.judgements.image_distance import metric_distance
    from dps_train.model.metric import Metric

    if isinstance(target.metric, Metric):
        distance = metric_distance(target.metric, pick_device(device.value))
    else:
        distance = target.metric.distance
    return score_judgements(distance, bapps=bapps, triplets=triplets, note=note)


def _measure(
    target: Target,
    heads: tuple[str, ...],
    images: Tensor,
    contexts: list[Context],
    distortions: tuple[Distortion, ...],
    options: EvaluateOptions,
) -> dict[str, Measures]:
    """Measure the heads, and always the metric's own."""
    from dps_train.data.sources import load_training
    from dps_train.devices import pick_device
    from dps_train.evaluate.heads import measure_file, measure_heads
    from dps_train.fit.settings import LIN
    from dps_train.model.metric import Metric
    from dps_train.seeds import generator_for

    seed, train_data = options.seed, options.train_data
    if not isinstance(target.metric, Metric):
        return {target.head: measure_file(target.metric, images, contexts, seed, distortions)}
    training = None
    if LIN in heads and target.head != LIN and train_data is not None:
        training = load_training(train_data, generator_for("training images", seed))
    return measure_heads(
        target.metric,
        tuple(dict.fromkeys((*heads, target.head))),
        images,
        contexts,
        own=target.head,
        training=training,
        seed=seed,
        device=pick_device(options.device.value),
        distortions=distortions,
    )


def _report(
    measures: Mapping[str, Measures],
    own: str,
    heads: tuple[str, ...],
    people: JudgementScores | None,
    seed: int,
) -> dict[str, Any]:
    """Return the JSON report: the measures of the own head, then those of each head."""
    judged = {} if people is None else asdict(people)
    return {
        **asdict(measures[own]),
        "seed": seed,
        "heads": {head: asdict(measures[head]) for head in heads},
        **{name: scores for name, scores in judged.items() if scores is not None},
    }


def _print(
    measures: Mapping[str, Measures], target: Target, people: JudgementScores | None
) -> None:
    from dps_train.evaluate.printing import print_heads, print_measures, print_people
    from dps_train.model.metric import Metric

    if not isinstance(target.metric, Metric):
        note(
            "a context file does not report the unadapted distance or stability (noise of half a "
            "gray level is lost in 8-bit pixels)"
        )
    if tuple(measures) == (target.head,):
        print_measures(measures[target.head])
    else:
        print_heads(measures)
    if people is not None:
        print_people(people)
