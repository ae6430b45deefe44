"""How the views of the universal metric follow small changes of large images.

    python benchmarks/large_images.py --data photographs

Per view and kind of change: the Spearman correlation of distance with strength, averaged
over images and rankings; for a change of a tenth of the image, how often it is named and
how well the map places it; and for distortions in the paper's range of photographs of 256
pixels, the 2AFC score over the rankings and how often they are named. Photographs smaller
than 1024 pixels are continued by mirroring.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from dps_infer import Context
from dps_infer.model.view import View
from dps_train import contexts as train
from dps_train.contexts import AMOUNTS, importance_table, pair_table, random_rankings
from dps_train.data.crops import resize_images
from dps_train.data.sources import load_held_out
from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import DISTORTIONS, color
from dps_train.measure.statistics import named_share, spearman, two_afc
from dps_train.progress import track

Pixels = NDArray[np.uint8]
SIDE, FARTHEST = 1024, 64
ORDINARY, DRAWS = 256, 4
SHARE = 0.1
"""Of the image that a local change takes."""


def blur(image: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def jpeg(image: Pixels, quality: float) -> Pixels:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def noise(image: Pixels, levels: float) -> Pixels:
    grain = np.random.default_rng(1).normal(size=image.shape) * levels
    return np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def hue(image: Pixels, degrees: float) -> Pixels:
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    turned = color(planes, torch.tensor([[degrees / 360]]))[0].permute(1, 2, 0)
    return np.asarray((turned * 255).round().byte().numpy(), np.uint8)


def shift(image: Pixels, pixels: float) -> Pixels:
    """Shift right; what moves in from outside is black."""
    moved = np.zeros_like(image)
    moved[:, int(pixels) :] = image[:, : image.shape[1] - int(pixels)]
    return moved


def darken(image: Pixels, factor: float) -> Pixels:
    return (image * factor).astype(np.uint8)


Change = Callable[[Pixels, float], Pixels]
GRADES: dict[str, tuple[Change, tuple[float, ...]]] = {
    "blur, sigma 0.5 to 4": (blur, (0.5, 0.7, 1, 1.4, 2, 2.8, 4)),
    "JPEG, quality 95 to 20": (jpeg, (95, 90, 80, 70, 55, 40, 30, 20)),
    "noise of 1 to 16 levels": (noise, (1, 2, 4, 6, 8, 12, 16)),
    "hue turn of 2 to 40 degrees": (hue, (2, 4, 8, 12, 20, 30, 40)),
    "shift of 1 to 64 pixels, black": (shift, (1, 2, 4, 8, 16, 32, 64)),
    "shift of 1 to 64 pixels, cropped": (shift, (1, 2, 4, 8, 16, 32, 64)),
}
LOCAL: dict[str, tuple[Change, float, str]] = {
    "blur, sigma 3": (blur, 3, "blur"),
    "hue turn of 50 degrees": (hue, 50, "color"),
    "darkening to 60 %": (darken, 0.6, "darken"),
    "noise of 16 levels": (noise, 16, "other"),
}


def main(
    data: Annotated[str, typer.Option(help="A folder of photographs, or `sample`.")] = "sample",
    images: Annotated[int, typer.Option(min=1, help="How many of them.")] = 6,
    rankings: Annotated[int, typer.Option(min=1, max=720, help="Random rankings.")] = 20,
    context: Annotated[Path | None, typer.Option(help="Another universal file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the universal file on large images."""
    generator = torch.Generator().manual_seed(0)
    photographs = [_large(image) for image in load_held_out(data, generator).images[:images]]
    contexts = random_rankings(rankings, generator)
    weights = importance_table(contexts)
    even = dict.fromkeys(AMOUNTS, 1.0)
    metric = (
        Context.universal(importance=even)
        if context is None
        else Context.load(context, importances=even)
    )
    report = {
        "images": len(photographs),
        "rankings": rankings,
        "monotonicity": {
            name: _monotonicity(metric, photographs, name, weights)
            for name in track(list(GRADES), "graded changes")
        },
        "local": {
            name: _placed(metric, photographs, name) for name in track(list(LOCAL), "local changes")
        },
        "ordinary": {
            view.value: _ordered(metric, photographs, contexts, view)
            for view in track(list(View), "distortions")
        },
    }
    if as_json:
        print(json.dumps(report, indent=2))
        return
    table = Table("monotonicity", *(view.value for view in View), title=f"{SIDE} x {SIDE} pixels")
    for name, values in report["monotonicity"].items():
        table.add_row(name, *(f"{values[view.value]:.3f}" for view in View))
    Console().print(table)
    table = Table(
        "a tenth of the image", "named", "overlap, at half the peak", "overlap, best tenth"
    )
    for name, values in report["local"].items():
        table.add_row(name, *(f"{value:.2f}" for value in values.values()))
    Console().print(table)
    table = Table("distortions in range", "2AFC", "lowest ranking", "named", "least named")
    for name, values in report["ordinary"].items():
        table.add_row(name, *(f"{value:.3f}" for value in values.values()))
    Console().print(table)


def _large(image: Pixels) -> Pixels:
    """Return a square of `SIDE` + `FARTHEST` pixels, continued by mirroring where it is smaller."""
    side = SIDE + FARTHEST
    missing = [(0, max(0, side - length)) for length in image.shape[:2]]
    return np.ascontiguousarray(np.pad(image, (*missing, (0, 0)), mode="symmetric")[:side, :side])


def _monotonicity(
    metric: Context, photographs: list[Pixels], name: str, weights: torch.Tensor
) -> dict[str, float]:
    change, grades = GRADES[name]
    values: dict[str, list[float]] = {view.value: [] for view in View}
    for image in photographs:
        reference = np.ascontiguousarray(image[:SIDE, :SIDE])
        # A crop that moves has no border: what comes in was outside before.
        changed = [
            np.ascontiguousarray(image[:SIDE, int(grade) : int(grade) + SIDE])
            if name.endswith("cropped")
            else change(reference, grade)
            for grade in grades
        ]
        for view in View:
            amounts = [
                list(comparison.amounts.values())
                for comparison in metric.compare_batch(reference, changed, view=view)
            ]
            distances = torch.tensor(amounts) @ weights.T
            values[view.value].append(float(spearman(distances, dim=0).mean()))
    return {view: math.fsum(each) / len(each) for view, each in values.items()}


def _placed(metric: Context, photographs: list[Pixels], name: str) -> dict[str, float]:
    change, strength, wanted = LOCAL[name]
    generator = np.random.default_rng(2)
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
        named.append(max(comparison.amounts, key=comparison.amounts.__getitem__) == wanted)
        assert comparison.map is not None
        places = cv2.resize(comparison.map, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        half.append(_overlap(places > 0.5 * places.max(), region))
        tenth.append(_overlap(places >= np.quantile(places, 1 - SHARE), region))
    return {
        "named": float(np.mean(named)),
        "overlap_half_peak": float(np.mean(half)),
        "overlap_best_tenth": float(np.mean(tenth)),
    }


def _ordered(
    metric: Context, photographs: list[Pixels], contexts: list[train.Context], view: View
) -> dict[str, float]:
    """Score distortions of photographs of `ORDINARY` pixels in one view."""
    generator = torch.Generator().manual_seed(3)
    images = resize_images([image[:SIDE, :SIDE] for image in photographs], ORDINARY)
    # The range of a blur is meant for the working size.
    scale = torch.tensor([ORDINARY / 64 if d.name == "blur" else 1.0 for d in DISTORTIONS])
    drawn = []
    for number, distortion in enumerate(DISTORTIONS):
        for _ in range(DRAWS):
            parameters = distortion.sample(len(images), generator) * scale[number]
            changed = quantize(distortion.apply(images, parameters))
            measured = metric.measure(_pixels(images), _pixels(changed), view=view)
            drawn.append(torch.from_numpy(measured.amounts))
    amounts = torch.stack(drawn).unflatten(0, (len(DISTORTIONS), DRAWS))
    distances = torch.einsum("kvma,ra->rkvm", amounts, importance_table(contexts))
    scores = two_afc(distances, pair_table(contexts)).nanmean(dim=(1, 2))
    named = named_share(amounts).values()
    return {
        "score": float(scores.mean()),
        "lowest": float(scores.min()),
        "named": math.fsum(named) / len(named),
        "least_named": min(named),
    }


def _pixels(images: torch.Tensor) -> Pixels:
    return (images * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


if __name__ == "__main__":
    typer.run(main)
