"""Small changes of large images, measured by the universal metric.

For each kind of change: the Spearman correlation of distance with strength, averaged over images
and rankings. For a change in a tenth of the image: how often it is named, and how well the
map locates it. For distortions in the paper's range on photographs of 256 pixels: the 2AFC score
over the rankings, and how often the distortion is named. Photographs smaller than 1088 pixels are
continued by mirroring.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Annotated

import cv2
import msgspec
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks.shared.options import DataOption, SeedOption, ThreadsOption
from benchmarks.shared.record import file_input, image_input
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table
from dps_infer import Metric
from dps_infer.contexts.context import Context
from dps_infer.contexts.ranking import KINDS, OTHER
from dps_infer.model import embedded
from dps_infer.progress import track
from dps_train.contexts import AMOUNTS, importance_table, pair_table, random_rankings
from dps_train.data.crops import resize_images
from dps_train.data.sources import Images, load_held_out
from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import DISTORTIONS, color
from dps_train.measure.statistics import named_share, spearman, two_afc

Pixels = NDArray[np.uint8]
SIDE, FARTHEST = 1024, 64
ORDINARY, DRAWS = 256, 4
SHARE = 0.1
"""Share of the image that a local change covers."""

NOISE_SEED, REGION_SEED, DRAWS_SEED = 1, 2, 3
"""Added to the seed, so that each purpose has its own random numbers."""


class Graded(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Monotonicity of one kind of change."""

    change: str
    monotonicity: float


class Local(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One kind of change in a tenth of the image.

    Attributes:
        change: in words.
        named: share of images whose largest amount is the right one.
        overlap_half_peak: intersection over union of the changed region with the map above half
            of its peak.
        overlap_best_tenth: the same with the largest tenth of the map.
    """

    change: str
    named: float
    overlap_half_peak: float
    overlap_best_tenth: float


class Ordinary(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Distortions of ordinary photographs."""

    score: float
    lowest: float
    named: float
    least_named: float


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Measures on large images."""

    images: int
    rankings: int
    graded: list[Graded]
    local: list[Local]
    ordinary: Ordinary


def blur(image: Pixels, sigma: float) -> Pixels:
    """Blur by a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def jpeg(image: Pixels, quality: float) -> Pixels:
    """Compress."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def noise(image: Pixels, levels: float) -> Pixels:
    """Add Gaussian noise of this standard deviation, in levels of 256."""
    grain = np.random.default_rng(NOISE_SEED).normal(size=image.shape) * levels
    return np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def hue(image: Pixels, degrees: float) -> Pixels:
    """Turn the hue."""
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    turned = color(planes, torch.tensor([[degrees / 360]]))[0].permute(1, 2, 0)
    return np.asarray((turned * 255).round().byte().numpy(), np.uint8)


def shift(image: Pixels, pixels: float) -> Pixels:
    """Shift to the right; black moves in."""
    moved = np.zeros_like(image)
    moved[:, int(pixels) :] = image[:, : image.shape[1] - int(pixels)]
    return moved


def darken(image: Pixels, factor: float) -> Pixels:
    """Multiply by a factor."""
    return (image * factor).astype(np.uint8)


Change = Callable[[Pixels, float], Pixels]
CROPPED = "shift of 1 to 64 pixels, cropped"
GRADES: dict[str, tuple[Change, tuple[float, ...]]] = {
    "blur, sigma 0.5 to 4": (blur, (0.5, 0.7, 1, 1.4, 2, 2.8, 4)),
    "JPEG, quality 95 to 20": (jpeg, (95, 90, 80, 70, 55, 40, 30, 20)),
    "noise of 1 to 16 levels": (noise, (1, 2, 4, 6, 8, 12, 16)),
    "hue turn of 2 to 40 degrees": (hue, (2, 4, 8, 12, 20, 30, 40)),
    "shift of 1 to 64 pixels, black": (shift, (1, 2, 4, 8, 16, 32, 64)),
    CROPPED: (shift, (1, 2, 4, 8, 16, 32, 64)),
}
LOCAL: dict[str, tuple[Change, float, str]] = {
    "blur, sigma 3": (blur, 3, "blur"),
    "hue turn of 50 degrees": (hue, 50, "color"),
    "darkening to 60 %": (darken, 0.6, "darken"),
    "noise of 16 levels": (noise, 16, "noise"),
}


def measure(
    data: DataOption = "sample",
    images: Annotated[int, typer.Option(min=1, help="Photographs to measure on.")] = 6,
    rankings: Annotated[int, typer.Option(min=1, max=720, help="Random rankings.")] = 20,
    context: Annotated[
        Path | None, typer.Option(help="Another universal context file than the package's.")
    ] = None,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
) -> Measured:
    """Measure the universal file on large images."""
    generator = torch.Generator().manual_seed(seed)
    loaded = load_held_out(data, generator)
    chosen = Images(loaded.source, loaded.images[:images])
    photographs = [_large(image) for image in chosen.images]
    contexts = random_rankings(rankings, generator)
    weights = importance_table([one.for_distortions(KINDS) for one in contexts], AMOUNTS)
    path = embedded.UNIVERSAL if context is None else context
    metric = Metric.load(
        path, importances=dict.fromkeys((*KINDS, OTHER), 1.0), device="cpu", threads=threads
    )
    figures = Figures(
        images=len(photographs),
        rankings=rankings,
        graded=[
            Graded(change=name, monotonicity=_monotonicity(metric, photographs, name, weights))
            for name in track(list(GRADES), "graded changes")
        ],
        local=[
            _placed(metric, photographs, name, seed) for name in track(list(LOCAL), "local changes")
        ],
        ordinary=_ordered(metric, photographs, contexts, weights, seed),
    )
    return Measured(figures, {"data": image_input(chosen, data), "context": file_input(path)})


def tables(figures: Figures) -> dict[str, Table]:
    """Return a table for each of the three questions."""
    ordinary = figures.ordinary
    return {
        "": Table(
            (f"change of a {SIDE} x {SIDE} image", "monotonicity"),
            [(one.change, f"{one.monotonicity:.3f}") for one in figures.graded],
            f"monotonicity, {figures.images} images, {figures.rankings} rankings",
        ),
        "local": Table(
            (
                "change of a tenth of the image",
                "named",
                "overlap of the map, half the peak",
                "overlap, best tenth",
            ),
            [
                (
                    one.change,
                    f"{one.named:.2f}",
                    f"{one.overlap_half_peak:.2f}",
                    f"{one.overlap_best_tenth:.2f}",
                )
                for one in figures.local
            ],
        ),
        "ordinary": Table(
            (
                "photographs",
                "2AFC",
                "lowest ranking",
                "named",
                "least named",
            ),
            [
                (
                    f"{ORDINARY} x {ORDINARY}",
                    f"{ordinary.score:.3f}",
                    f"{ordinary.lowest:.3f}",
                    f"{ordinary.named:.2f}",
                    f"{ordinary.least_named:.2f}",
                )
            ],
        ),
    }


def _large(image: Pixels) -> Pixels:
    """Return a square of `SIDE` + `FARTHEST` pixels, continued by mirroring where it is smaller."""
    side = SIDE + FARTHEST
    missing = [(0, max(0, side - length)) for length in image.shape[:2]]
    return np.ascontiguousarray(np.pad(image, (*missing, (0, 0)), mode="symmetric")[:side, :side])


def _monotonicity(
    metric: Metric, photographs: list[Pixels], name: str, weights: torch.Tensor
) -> float:
    change, grades = GRADES[name]
    values = []
    for image in photographs:
        reference = np.ascontiguousarray(image[:SIDE, :SIDE])
        # A crop that moves has no border: its new pixels come from outside the reference.
        changed = [
            np.ascontiguousarray(image[:SIDE, int(grade) : int(grade) + SIDE])
            if name == CROPPED
            else change(reference, grade)
            for grade in grades
        ]
        amounts = [_amounts(metric, reference[None], one[None]) for one in changed]
        distances = torch.cat(amounts) @ weights.T
        values.append(float(spearman(distances, dim=0).mean()))
    return fmean(values)


def _amounts(metric: Metric, reference: Pixels, changed: Pixels) -> torch.Tensor:
    """Return the amounts of pairs [N, A], the size last."""
    amounts = metric.measure(reference, changed).amounts
    assert amounts is not None
    return torch.from_numpy(amounts)


def _placed(metric: Metric, photographs: list[Pixels], name: str, seed: int) -> Local:
    change, strength, wanted = LOCAL[name]
    generator = np.random.default_rng(seed + REGION_SEED)
    named, half, tenth = [], [], []
    for image in photographs:
        reference = np.ascontiguousarray(image[:SIDE, :SIDE])
        stretch = float(np.exp(0.4 * generator.normal()))
        height, width = (round(SIDE * math.sqrt(SHARE * f)) for f in (stretch, 1 / stretch))
        top, left = (int(generator.integers(0, SIDE - length)) for length in (height, width))
        region = np.zeros((SIDE, SIDE), bool)
        region[top : top + height, left : left + width] = True
        changed = np.where(region[..., None], change(reference, strength), reference)
        comparison = metric.compare(reference, changed, with_map=True)
        named.append(max(comparison.parts, key=comparison.parts.__getitem__) == wanted)
        assert comparison.map is not None
        places = cv2.resize(comparison.map, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        half.append(_overlap(places > 0.5 * places.max(), region))
        tenth.append(_overlap(places >= np.quantile(places, 1 - SHARE), region))
    return Local(
        change=name,
        named=fmean(named),
        overlap_half_peak=fmean(half),
        overlap_best_tenth=fmean(tenth),
    )


def _ordered(
    metric: Metric,
    photographs: list[Pixels],
    contexts: list[Context],
    weights: torch.Tensor,
    seed: int,
) -> Ordinary:
    """Score distortions of photographs of `ORDINARY` pixels."""
    generator = torch.Generator().manual_seed(seed + DRAWS_SEED)
    images = resize_images([image[:SIDE, :SIDE] for image in photographs], ORDINARY)
    # The range of blur is stated at the working size of 64 pixels.
    scale = torch.tensor([ORDINARY / 64 if d.name == "blur" else 1.0 for d in DISTORTIONS])
    drawn = []
    for number, distortion in enumerate(DISTORTIONS):
        for _ in range(DRAWS):
            parameters = distortion.sample(len(images), generator) * scale[number]
            changed = quantize(distortion.apply(images, parameters))
            drawn.append(_amounts(metric, _pixels(images), _pixels(changed)))
    amounts = torch.stack(drawn).unflatten(0, (len(DISTORTIONS), DRAWS))
    distances = torch.einsum("kvma,ra->rkvm", amounts, weights)
    scores = two_afc(distances, pair_table(contexts)).nanmean(dim=(1, 2))
    named = named_share(amounts[..., :-1]).values()
    return Ordinary(
        score=float(scores.mean()),
        lowest=float(scores.min()),
        named=fmean(named),
        least_named=min(named),
    )


def _pixels(images: torch.Tensor) -> Pixels:
    return (images * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())
