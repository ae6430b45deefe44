"""Hold a file of smaller numbers against the same one in float32, on the sample's images.

Both are run on pairs that they did not see before: draws of the paper's distortions of held-out
images, and ladders of well-known changes of held-out photographs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from torch import Tensor

from dps_infer.arrays import Floats, Pixels
from dps_infer.errors import DpsError
from dps_infer.graph.model import read_model
from dps_infer.model.contract import IMPORTANCE
from dps_infer.model.manifest import Difference, MetricInfo, Reduced
from dps_infer.progress import track
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import Engine, open_engine
from dps_train.contexts import all_rankings, importance_table, measured_context, pair_table
from dps_train.data.crops import TRAINING_SIZE, resize_images
from dps_train.data.sources import TRAINING_PHOTOGRAPHS, load_held_out, photograph
from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import DISTORTIONS
from dps_train.measure.anchor_ladders import LADDERS, anchor_parts
from dps_train.measure.statistics import spearman, two_afc
from dps_train.seeds import generator_for

TWO_AFC_WITHIN = 0.003
"""Largest difference from float32 in the 2AFC score."""

ORDER_WITHIN = 0.005
"""Largest difference from float32 in the order along ladders."""

DRAWS = 4
"""Of each distortion of each image."""

CALIBRATION_SIDE = 256
"""Side in pixels of the photographs that 8 bits learn the ranges of values from."""

SPEED_SIDE = 512
"""Side in pixels of the pair whose runs are timed."""

ROUNDS = 9

DARKER = 0.8


class AgreementError(DpsError):
    """Smaller numbers change what a file says."""


def calibration_pairs(columns: int) -> list[dict[str, Floats | Pixels]]:
    """Return pairs of training photographs, one darker and one turned by half each."""
    importance = np.ones(columns, np.float32)
    pairs: list[dict[str, Floats | Pixels]] = []
    for name in TRAINING_PHOTOGRAPHS:
        image = photograph(name)[None, :CALIBRATION_SIDE, :CALIBRATION_SIDE]
        turned = np.ascontiguousarray(image[:, ::-1, ::-1])
        for other in (np.rint(DARKER * image).astype(np.uint8), turned):
            pairs.append({"reference": image, "distorted": other, IMPORTANCE: importance})
    return pairs


def measure_agreement(
    whole: onnx.ModelProto, narrow: onnx.ModelProto, info: MetricInfo, *, threads: int | None = None
) -> Reduced:
    """Run both on the same pairs.

    Args:
        whole: a universal model in float32.
        narrow: the same in smaller numbers.
        info: the metric's description.
        threads: CPU threads; None takes all that this process may use.
    """
    engines = [
        open_engine(read_model(one.SerializeToString()), device=Device.cpu, threads=threads)
        for one in (whole, narrow)
    ]
    columns = len(info.amounts)
    drawn = [_drawn(engine, columns) for engine in engines]
    climbed = [_climbed(engine, columns) for engine in engines]
    pairs = [
        torch.cat([one.flatten(0, -2) for one in (draws, *ladders)])
        for draws, ladders in zip(drawn, climbed, strict=True)
    ]
    first, second = (_scores(draws, info) for draws in drawn)
    before, after = (
        float(torch.stack([spearman(_general(one), 1).mean() for one in ladders]).mean())
        for ladders in climbed
    )
    general = [_general(one) for one in pairs]
    return Reduced(
        pairs=len(pairs[0]),
        distance=_difference(*(one[:, None] for one in general)),
        amounts=_difference(*pairs),
        two_afc=second,
        two_afc_float32=first,
        order=after,
        order_float32=before,
        speed=_speed(engines, columns),
    )


def check_agreement(found: Reduced, precision: str) -> None:
    """Refuse smaller numbers that change scores or orders.

    Raises:
        AgreementError: with both figures.
    """
    for name, value, other, within in (
        ("2AFC score", found.two_afc, found.two_afc_float32, TWO_AFC_WITHIN),
        ("order along ladders", found.order, found.order_float32, ORDER_WITHIN),
    ):
        # Written so that a NaN fails.
        if not abs(value - other) <= within:
            instead = "" if precision == "fp16" else ", or take fp16"
            raise AgreementError(
                f"in {precision} the {name} is {value:.4f}, {other:.4f} in float32, expected "
                f"within {within:g}: no file was written; leave --precision out{instead}"
            )


def _amounts(engine: Engine, reference: Pixels, distorted: Pixels, columns: int) -> Tensor:
    feeds = {"reference": reference, "distorted": distorted}
    importance = np.ones(columns, np.float32)
    return torch.from_numpy(engine.run(["amounts"], {**feeds, IMPORTANCE: importance})["amounts"])


def _drawn(engine: Engine, columns: int) -> Tensor:
    """Return the amounts of draws of the paper's distortions: [K, `DRAWS`, M, A]."""
    generator = generator_for("draws", 0)
    held_out = load_held_out("sample", generator_for("held-out images", 0)).images
    images = resize_images(held_out, TRAINING_SIZE)
    reference = _pixels(images)
    return torch.stack(
        [
            torch.stack(
                [
                    _amounts(engine, reference, _pixels(changed), columns)
                    for changed in (
                        quantize(kind.apply(images, kind.sample(len(images), generator)))
                        for _ in range(DRAWS)
                    )
                ]
            )
            for kind in track(DISTORTIONS, "draws")
        ]
    )


def _pixels(images: Tensor) -> Pixels:
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def _climbed(engine: Engine, columns: int) -> list[Tensor]:
    """Return the amounts of each ladder: [parts of photographs, steps, A]."""
    parts = anchor_parts()
    found = []
    for change, steps in track(list(LADDERS.values()), "ladders"):
        rows = [
            _amounts(engine, part[None], np.stack([change(part, step) for step in steps]), columns)
            for part in parts
        ]
        found.append(torch.stack(rows))
    return found


def _general(amounts: Tensor) -> Tensor:
    """Return the general distance, or the only amount."""
    return amounts[..., -1]


def _scores(draws: Tensor, info: MetricInfo) -> float:
    """Return the mean 2AFC score in all rankings, or in the metric's own if it tells no kinds."""
    contexts = all_rankings()
    weights = importance_table(contexts, info.amounts)
    if len(info.amounts) == 1:
        own = measured_context(info)
        contexts = [own] if own.ranking else contexts
        weights = torch.ones(len(contexts), 1)
    distances = torch.einsum("kvma,ra->rkvm", draws, weights)
    judged = pair_table(contexts, [kind.name for kind in DISTORTIONS])
    return float(two_afc(distances, judged)[judged].mean())


def _difference(one: Tensor, other: Tensor) -> Difference:
    scale = one.amax(dim=1).clamp(min=1)
    shares = (one - other).abs().amax(dim=1) / scale
    return Difference(largest=_short(shares.max()), mean=_short(shares.mean()))


def _short(value: Tensor) -> float:
    return float(f"{float(value):.3g}")


def _speed(engines: Sequence[Engine], columns: int) -> float:
    """Return how many times as fast the second is; both run alternately."""
    image = photograph(TRAINING_PHOTOGRAPHS[0])[None, :SPEED_SIDE, :SPEED_SIDE]
    other = np.rint(DARKER * image).astype(np.uint8)
    seconds: list[list[float]] = [[], []]
    for number in range(ROUNDS + 1):
        for engine, times in zip(engines, seconds, strict=True):
            start = time.perf_counter()
            _amounts(engine, image, other, columns)
            # The first runs set up memory.
            if number:
                times.append(time.perf_counter() - start)
    first, second = (statistics.median(times) for times in seconds)
    return float(f"{first / second:.2f}")
