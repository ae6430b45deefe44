"""Train a small super-resolution network on pairs that do not fit, with several losses.

Each target is shifted by up to two pixels against its input, differently every time. A loss that
compares pixels learns to be wrong by little everywhere, and blurs. `PerceptualLoss` in a context
in which shifts do not count learns the detail. The networks start from the same weights and see
the same pairs. Makes the figures and the picture of docs/loss.md:
``python examples/shifted_pairs.py --data photos -o shifted-pairs``. It resumes where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from dps_infer.contexts.ranking import KINDS
from dps_infer.files.write import atomic_file
from dps_infer.show.heatmap import save_picture
from dps_train.agreement.peers import lpips_module
from dps_train.data.sources import SAMPLE, load_held_out, load_training
from dps_train.loss import PerceptualLoss
from dps_train.seeds import generator_for

CROP, SHIFT, FACTOR = 64, 2, 2
"""Sides of targets, largest shift, and factor of the super-resolution: all but it in pixels."""

BATCH = 4
WIDTH, DEPTH = 32, 3
RATE = 4e-3

OURS = "ours, translate free"
FREE = {**dict.fromkeys((*KINDS, "other"), 1.0), "translate": 0.0}

MEASURED_SIDE = 256
FINE = 1.0
"""Sigma in pixels of the Gaussian whose removal leaves fine detail."""

INPUT, ORIGINAL = "input, enlarged", "original"
LOSSES = ("L1", "SSIM", "LPIPS")
SHOWN = (INPUT, *LOSSES, OURS, ORIGINAL)
PART, ENLARGED = slice(90, 186), 3
PAPER, INK = 255, (40, 40, 40)

Pixels = NDArray[np.uint8]
Loss = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("shifted-pairs"))
    parser.add_argument("--data", default=SAMPLE, help="photographs to measure on")
    parser.add_argument("--images", type=int, default=40, help="how many of them at most")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--losses", help="some of them, separated by commas")
    parser.add_argument("--lpips-trunk", type=Path, help="weights of LPIPS's SqueezeNet")
    options = parser.parse_args()
    # Weights that fade away become denormal numbers, which a CPU is slow with.
    torch.set_flush_denormal(True)
    losses = all_losses(options.lpips_trunk)
    names = options.losses.split(",") if options.losses else list(losses)
    held_out = [planes(image) for image in measured_images(options.data, options.images)]
    shown = max(held_out, key=lambda image: float(fine(image).square().mean()))
    options.output.mkdir(parents=True, exist_ok=True)
    facts = {"steps": options.steps, "data": options.data, "images": len(held_out)}
    records = [{"loss": INPUT, "seed": 0, **facts, **measures(enlarge, held_out)}]
    for seed, name in itertools.product(range(options.seeds), names):
        path = options.output / f"{seed}-{name.partition(',')[0]}.json"
        if not path.exists():
            network = trained(losses[name], seed, options.steps)
            record = {"loss": name, "seed": seed, **facts, **measures(network, held_out)}
            if seed == 0:
                save_picture(part(network(reduce(shown))), path.with_suffix(".png"), force=True)
            with atomic_file(path) as temporary:
                temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            print(f"{path} written", file=sys.stderr)
        record = json.loads(path.read_text("utf-8"))
        if record | facts != record:
            sys.exit(f"{path} is of a run with other options: remove it, or name another folder")
        records.append(record)
    print(table(records))
    path = options.output / "shifted-pairs.png"
    save_picture(sheet(options.output, names, shown), path, force=True)
    print(f"Picture written to {path}", file=sys.stderr)


def all_losses(trunk: Path | None) -> dict[str, Loss]:
    """Return the losses by name, without those that cannot be had."""
    import piq

    losses: dict[str, Loss] = {
        "L1": F.l1_loss,
        "SSIM": lambda output, target: 1 - piq.ssim(output.clamp(0, 1), target),
    }
    if trunk is None:
        print("note: without --lpips-trunk, LPIPS is left out", file=sys.stderr)
    else:
        lpips = lpips_module(trunk).requires_grad_(False)
        losses["LPIPS"] = lambda output, target: lpips(2 * output - 1, 2 * target - 1).mean()
    losses[OURS] = PerceptualLoss(importances=FREE)
    return losses


class Enlarger(nn.Module):
    """Enlarge images bilinearly, and add the detail that convolutions expect."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        widths = [3, *[WIDTH] * DEPTH, 3 * FACTOR**2]
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(widths):
            convolution = nn.Conv2d(narrow, wide, 3, padding=1, padding_mode="replicate")
            nn.init.kaiming_normal_(convolution.weight, generator=generator)
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.GELU()]
        with torch.no_grad():
            layers[-2].weight *= 0.1  # type: ignore[operator]  # starts near the bilinear image
        self.layers = nn.Sequential(*layers[:-1], nn.PixelShuffle(FACTOR))

    def forward(self, images: Tensor) -> Tensor:
        enlarged: Tensor = self.layers(images) + enlarge(images)
        return enlarged


def trained(loss: Loss, seed: int, steps: int) -> Enlarger:
    """Train a network on shifted pairs."""
    network = Enlarger(generator_for("network", seed))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for inputs, targets in shifted_pairs(seed, steps):
        optimizer.zero_grad()
        loss(network(inputs), targets).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def shifted_pairs(seed: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs [N, 3, 32, 32], and targets [N, 3, 64, 64] by whole pixels out of place."""
    generator = generator_for("pairs", seed)
    images = [planes(image) for image in load_training(SAMPLE, generator).images]
    for _ in range(steps):
        inputs, targets = [], []
        for _ in range(BATCH):
            image = images[_drawn(len(images), generator)]
            top, left = (
                SHIFT + _drawn(side - CROP - 2 * SHIFT + 1, generator) for side in image.shape[2:]
            )
            down, across = (_drawn(2 * SHIFT + 1, generator) - SHIFT for _ in range(2))
            inputs.append(reduce(_cut(image, top, left)))
            targets.append(_cut(image, top + down, left + across))
        yield torch.cat(inputs), torch.cat(targets)


def _drawn(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def _cut(image: Tensor, top: int, left: int) -> Tensor:
    return image[..., top : top + CROP, left : left + CROP]


def reduce(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, FACTOR)


def enlarge(images: Tensor) -> Tensor:
    enlarged: Tensor = F.interpolate(images, scale_factor=FACTOR, mode="bilinear")
    return enlarged


@torch.no_grad()
def measures(enlarger: Callable[[Tensor], Tensor], images: list[Tensor]) -> dict[str, float]:
    """Return the means over images of what `measure` returns."""
    found = [measure(enlarger(reduce(image)), image) for image in images]
    return {name: statistics.fmean(one[name] for one in found) for name in found[0]}


def measure(output: Tensor, original: Tensor) -> dict[str, float]:
    """Compare an output with its original, after the shift by whole pixels that fits best.

    Returns:
        ``detail``: the share of the original's fine detail that the output explains, 1 for the
        original itself; both what it lacks and what it invents lower it. ``contrast``: fine
        detail of the output, true or invented, in relation to the original's. ``psnr``: in dB.
    """
    inner = slice(2 * SHIFT, -2 * SHIFT)
    reference = original[..., inner, inner]
    shifts = itertools.product(range(-SHIFT, SHIFT + 1), repeat=2)
    moved = [output.roll(shift, dims=(2, 3))[..., inner, inner] for shift in shifts]
    best = min(moved, key=lambda image: float((image - reference).square().mean()))
    ours, theirs = fine(best), fine(reference)
    energy = theirs.square().sum()
    return {
        "detail": float(1 - (ours - theirs).square().sum() / energy),
        "contrast": float((ours.square().sum() / energy).sqrt()),
        "psnr": -10 * math.log10(float((best - reference).square().mean())),
    }


def fine(images: Tensor) -> Tensor:
    """Return the detail finer than a Gaussian of sigma `FINE`."""
    line = torch.exp(-(torch.arange(-3, 4) ** 2) / (2 * FINE**2))
    kernel = (line[:, None] * line / line.sum() ** 2).expand(3, 1, -1, -1)
    return (images - F.conv2d(images, kernel, padding=3, groups=3))[..., 3:-3, 3:-3]


def measured_images(source: str, count: int) -> list[Pixels]:
    """Return the middles of photographs that nothing was trained on."""
    images = load_held_out(source, generator_for("held-out images", 0)).images
    large = [image for image in images if min(image.shape[:2]) >= MEASURED_SIDE]
    return [_middle(image) for image in large[:count]]


def _middle(image: Pixels) -> Pixels:
    top, left = ((side - MEASURED_SIDE) // 2 for side in image.shape[:2])
    return image[top : top + MEASURED_SIDE, left : left + MEASURED_SIDE]


def table(records: list[dict[str, float | str]]) -> str:
    """Return a table of means over seeds with 95 % intervals, and of differences from ours."""
    lines = [
        "| loss | seeds | detail | contrast | PSNR in dB | detail, ours more by |",
        "|---|---|---|---|---|---|",
    ]
    ours = {row["seed"]: float(row["detail"]) for row in records if row["loss"] == OURS}
    for name in (name for name in SHOWN if any(row["loss"] == name for row in records)):
        rows = [row for row in records if row["loss"] == name]
        cells = [
            interval([float(row[key]) for row in rows]) for key in ("detail", "contrast", "psnr")
        ]
        apart = [ours[row["seed"]] - float(row["detail"]) for row in rows if row["seed"] in ours]
        cells.append(interval(apart) if name in LOSSES and apart else "")
        lines.append(f"| {name} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def interval(values: list[float]) -> str:
    """Return the mean and half of its 95 % interval (Student's t).

    >>> interval([1.0, 2.0, 3.0])
    '2.000 ± 2.484'
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    deviation = statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.3f} ± {stats.t.ppf(0.975, len(values) - 1) * deviation:.3f}"


def sheet(folder: Path, names: list[str], image: Tensor) -> Pixels:
    """Put the pictures of seed 0 beside the input and the original, in two rows."""
    pictures = {INPUT: part(enlarge(reduce(image))), ORIGINAL: part(image)}
    for name in names:
        read = cv2.imread(str(folder / f"0-{name.partition(',')[0]}.png"))
        pictures[name] = cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
    cells = [titled(name, pictures[name]) for name in SHOWN if name in pictures]
    cells += [np.full_like(cells[0], PAPER)] * (len(cells) % 2)
    half = len(cells) // 2
    return np.concatenate([np.concatenate(row, axis=1) for row in (cells[:half], cells[half:])])


def part(image: Tensor) -> Pixels:
    """Return the shown part of an image, enlarged by repeated pixels."""
    pixels = image[0, :, PART, PART].detach().clamp(0, 1).mul(255).round().byte()
    large = pixels.permute(1, 2, 0).numpy().repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
    return np.ascontiguousarray(large)


def titled(title: str, picture: Pixels) -> Pixels:
    """Put a line of text above a picture, and a gap around both."""
    cell = np.pad(picture, ((36, 0), (8, 8), (0, 0)), constant_values=PAPER)
    place = (8, 26)
    cv2.putText(cell, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, INK, 1, cv2.LINE_AA)
    return cell


def planes(image: Pixels) -> Tensor:
    """Return float RGB [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


if __name__ == "__main__":
    main()
