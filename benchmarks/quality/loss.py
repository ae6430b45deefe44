"""The loss beside LPIPS: noise that Adam removes from photographs, and gradients that are finite.

Noise of sigma 25 (of 255) is added to a photograph, and some steps of Adam on its pixels make the
loss smaller. A loss that sees the noise raises the PSNR. All losses start from the same noise, and
take every learning rate. Then gradients of the loss are taken at many pairs of images, random,
flat, nearly identical and identical ones among them, and those counted that are not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
import torch
import typer
from torch import Tensor

from benchmarks.shared.loss_steps import GENERAL, MODES, NOISE, loss_of, step
from benchmarks.shared.options import DataOption, SeedOption
from benchmarks.shared.record import file_input, image_input
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table
from dps_infer.arrays import Pixels
from dps_infer.errors import DpsError
from dps_train.agreement.peers import lpips_module
from dps_train.data.sources import Images, load_held_out
from dps_train.seeds import generator_for

RATES = (0.001, 0.003, 0.01)
STEPS = 150
SIDE = 96
SOME = 40
"""Pairs whose gradients are taken at once."""

SHAPES = ((24, 20), (33, 64), (64, 64))
LPIPS = "LPIPS, SqueezeNet"

Loss = Callable[[Tensor, Tensor], Tensor]


class Denoised(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a loss makes of noise.

    Attributes:
        loss: which one.
        rate: learning rate of Adam.
        gains: of each photograph, how much the PSNR rose in dB.
    """

    loss: str
    rate: float
    gains: list[float]


class Finite(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How many pairs of images were tried, and at how many the gradient was not finite."""

    loss: str
    pairs: int
    not_finite: int


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Noise that is removed, and gradients."""

    steps: int
    denoised: list[Denoised]
    finite: list[Finite]


def measure(
    data: DataOption = "sample",
    images: Annotated[int, typer.Option(min=1, help="Photographs to denoise.")] = 3,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs whose gradient is taken.")] = 10000,
    lpips_trunk: Annotated[
        Path | None, typer.Option(help="Weights of LPIPS's SqueezeNet; without, it is left out.")
    ] = None,
    seed: SeedOption = 0,
) -> Measured:
    """Denoise, and take gradients."""
    found = load_held_out(data, generator_for("held-out images", seed))
    large = tuple(image for image in found.images if min(image.shape[:2]) >= SIDE)
    photographs = Images(found.source, large[:images])
    losses: dict[str, Loss] = {GENERAL: loss_of(GENERAL)}
    inputs = {"data": image_input(photographs, data)}
    if lpips_trunk is not None:
        lpips = lpips_module(lpips_trunk).requires_grad_(False)
        losses[LPIPS] = lambda one, two: lpips(2 * one - 1, 2 * two - 1).mean()
        inputs["lpips_trunk"] = file_input(lpips_trunk)
    with ExitStack() as stack:
        # Activations that fade away become denormal numbers, which a CPU is slow with.
        if torch.set_flush_denormal(True):
            stack.callback(torch.set_flush_denormal, False)
        denoised = [
            Denoised(
                loss=name,
                rate=rate,
                gains=[
                    gain(loss, middle(image), rate, generator_for(f"noise {number}", seed))
                    for number, image in enumerate(photographs.images)
                ],
            )
            for name, loss in losses.items()
            for rate in RATES
        ]
    finite = [Finite(loss=mode, pairs=pairs, not_finite=wrong(mode, pairs, seed)) for mode in MODES]
    return Measured(Figures(steps=STEPS, denoised=denoised, finite=finite), inputs)


def check(figures: Figures) -> None:
    """Refuse gradients that are not finite.

    Raises:
        DpsError: there are some.
    """
    for one in figures.finite:
        if one.not_finite:
            raise DpsError(f"{one.loss}: {one.not_finite} of {one.pairs} gradients are not finite")


def tables(figures: Figures) -> dict[str, Table]:
    """Return one table for the noise, and one for the gradients."""
    rows = [
        (
            one.loss,
            f"{one.rate:g}",
            f"{sum(one.gains) / len(one.gains):+.1f}",
            f"{min(one.gains):+.1f}",
        )
        for one in figures.denoised
    ]
    photographs = len(figures.denoised[0].gains)
    return {
        "": Table(
            ("loss", "learning rate", "PSNR in dB", "least"),
            rows,
            f"{figures.steps} steps from noise of sigma 25, {photographs} photographs",
        ),
        "finite": Table(
            ("loss", "pairs", "gradients that are not finite"),
            [(one.loss, str(one.pairs), str(one.not_finite)) for one in figures.finite],
        ),
    }


def gain(loss: Loss, clean: Tensor, rate: float, generator: torch.Generator) -> float:
    """Return by how much dB the loss raises the PSNR of a noisy image [1, 3, H, W]."""
    noisy = clean + NOISE * torch.randn(clean.shape, generator=generator)
    moved = noisy.clone().requires_grad_()
    optimizer = torch.optim.Adam([moved], lr=rate)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(moved, clean).backward()
        optimizer.step()
    return psnr(moved.detach(), clean) - psnr(noisy, clean)


def psnr(image: Tensor, clean: Tensor) -> float:
    return -10 * float((image.clamp(0, 1) - clean).square().mean().log10())


def middle(image: Pixels) -> Tensor:
    """Return the middle of an image as float [1, 3, `SIDE`, `SIDE`]."""
    top, left = ((side - SIDE) // 2 for side in image.shape[:2])
    pixels = image[top : top + SIDE, left : left + SIDE]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def wrong(mode: str, pairs: int, seed: int) -> int:
    """Return at how many pairs a gradient is not finite, or the loss of their batch is not."""
    loss = loss_of(mode)
    found = 0
    for first, second in hard_pairs(pairs, seed):
        value, gradients = step(loss, first, second)
        bad = ~torch.isfinite(gradients).flatten(2).all(dim=2).all(dim=0)
        found += int(bad.sum()) if torch.isfinite(value) else len(first)
    return found


def hard_pairs(pairs: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of images [N, 3, H, W], in turn of each kind that the first lines describe."""
    generator = generator_for("pairs", seed)
    for start in range(0, pairs, SOME):
        shape = SHAPES[start // SOME % len(SHAPES)]
        count = min(SOME, pairs - start)
        first, second = (torch.rand(count, 3, *shape, generator=generator) for _ in range(2))
        first[1::8] = first[1::8, :, :1, :1]
        second[1::16] = second[1::16, :, :1, :1]
        second[2::8] = first[2::8] + 1e-4 * (second[2::8] - 0.5)
        second[3::8] = first[3::8]
        first[4::8] = (first[4::8] > 0.5).float()
        second[4::16] = 1 - first[4::16]
        first[5::8], second[5::8] = 0, 1
        first[6::8] = second[6::8] = 0.5
        second[6::8, :, 3, 3] += 1e-3
        first[7::8, :, ::2] = 0
        yield first, second
