"""Other metrics on the same pairs, from well-kept packages: the extra ``peers`` brings them.

| name | package | settings |
|---|---|---|
| psnr | none | on RGB, capped at `IDENTICAL` dB |
| ssim | scikit-image | gray (BT.601), Wang's downsampling, Gaussian window of sigma 1.5 |
| lpips | lpips | version 0.1 with SqueezeNet, images at their own size |
| haarpsi, mdsi, vsi, fsim | piq | their defaults |
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from dps_infer.errors import DpsError, UsageError
from dps_infer.extras import install
from dps_train.agreement.distances import Measure, Pixels
from dps_train.agreement.scores.scored_pairs import Floats
from dps_train.model.backbone.backbones import load_backbone
from dps_train.model.backbone.layer_presets import LPIPS

PSNR, SSIM, LPIPS_SQUEEZE = "psnr", "ssim", "lpips"
PIQ = ("haarpsi", "mdsi", "vsi", "fsim")
"""Functions of piq."""

SIMILARITIES = ("haarpsi", "vsi", "fsim")
"""Peers of piq that are 1 for identical images; mdsi is 0 for them."""

PEERS = (PSNR, SSIM, LPIPS_SQUEEZE, *PIQ)
PACKAGES = {SSIM: "skimage", LPIPS_SQUEEZE: "lpips", **dict.fromkeys(PIQ, "piq")}
INSTALL = install("train", "peers")

IDENTICAL = 100.0
"""PSNR of identical images in dB, which is infinite: a customary bound."""

GRAY = (0.299, 0.587, 0.114)
SSIM_SIDE = 256
"""Wang's rule: images are averaged and downsampled until the shorter side is about this."""

SMALLEST = {SSIM: 11, LPIPS_SQUEEZE: 17, **dict.fromkeys(PIQ, 16)}
"""Shorter side in pixels that a peer needs, after SSIM's downsampling."""

Pair = Callable[[Pixels, Pixels], float]


def peer_measures(text: str, *, trunk: Path | None) -> list[Measure]:
    """Return the peers that are named.

    Args:
        text: some of `PEERS` joined by commas, or ``all``.
        trunk: weights of LPIPS's SqueezeNet (safetensors, torchvision's names); None takes
            torchvision's, downloaded on first use.

    Raises:
        UsageError: an unknown peer, or a trunk without LPIPS.
        WeightsError: the trunk's weights are missing or not valid.
        DpsError: a package is not installed.
    """
    names = PEERS if text == "all" else tuple(dict.fromkeys(n.strip() for n in text.split(",")))
    for name in names:
        if name not in PEERS:
            raise UsageError(f"--peers names {name!r}: expected some of {','.join(PEERS)}, or all")
    if trunk is not None and LPIPS_SQUEEZE not in names:
        raise UsageError("--lpips-trunk is for --peers lpips: name it, or leave the trunk out")
    needed = {PACKAGES[name] for name in names if name in PACKAGES}
    missing = sorted(package for package in needed if importlib.util.find_spec(package) is None)
    if missing:
        raise DpsError(f"--peers {','.join(names)} needs {' and '.join(missing)}: {INSTALL}")
    return [_measure(name, trunk) for name in names]


def psnr(reference: Pixels, candidate: Pixels) -> float:
    """Return the peak signal-to-noise ratio in dB, at most `IDENTICAL`."""
    error = float(np.square(reference.astype(np.float64) - candidate).mean())
    return min(IDENTICAL, 10 * np.log10(255**2 / error)) if error else IDENTICAL


def ssim(reference: Pixels, candidate: Pixels) -> float:
    """Return SSIM in [-1, 1] of gray images, computed as in Wang et al. 2004 and their code.

    The code averages over squares and keeps one pixel of each, so that the shorter side comes
    near `SSIM_SIDE`.
    """
    from skimage.metrics import structural_similarity

    factor = max(1, round(min(reference.shape[:2]) / SSIM_SIDE))
    first, second = (
        _downsampled(image @ np.array(GRAY), factor) for image in (reference, candidate)
    )
    value = structural_similarity(
        first,
        second,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(value)


DISTANCES: dict[str, Pair] = {
    PSNR: lambda reference, candidate: IDENTICAL - psnr(reference, candidate),
    SSIM: lambda reference, candidate: 1 - ssim(reference, candidate),
}


def lpips_squeeze(trunk: Path | None) -> Pair:
    """Return LPIPS's distance, version 0.1 with SqueezeNet and its own linear weights."""
    metric = lpips_module(trunk)

    @torch.no_grad()
    def distance(reference: Pixels, candidate: Pixels) -> float:
        return float(metric(2 * _planes(reference) - 1, 2 * _planes(candidate) - 1))

    return distance


def lpips_module(trunk: Path | None) -> nn.Module:
    """Return LPIPS, version 0.1 with SqueezeNet, of RGB [N, 3, H, W] in [-1, 1]: [N, 1, 1, 1].

    Args:
        trunk: see `peer_measures`.
    """
    import lpips

    backbone = load_backbone("squeezenet1_1", layers=LPIPS["squeezenet1_1"], weights=trunk)
    with warnings.catch_warnings():
        # torchvision's word on how lpips makes its trunks.
        warnings.simplefilter("ignore", UserWarning)
        metric = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    loaded = {
        key.partition("features.")[2]: value for key, value in backbone.network.state_dict().items()
    }
    # The slices keep torchvision's numbers: slice1.0.weight is features.0.weight.
    metric.net.load_state_dict(
        {key: loaded[key.partition(".")[2]] for key in metric.net.state_dict()}
    )
    return metric


def from_piq(name: str) -> Pair:
    """Return a metric of piq as a distance."""
    import piq

    function = getattr(piq, name)

    @torch.no_grad()
    def distance(reference: Pixels, candidate: Pixels) -> float:
        # MDSI depends on the order: piq takes the distorted image first.
        value = float(function(_planes(candidate), _planes(reference), data_range=1.0))
        return 1 - value if name in SIMILARITIES else value

    return distance


def _measure(name: str, trunk: Path | None) -> Measure:
    if name == LPIPS_SQUEEZE:
        distance = lpips_squeeze(trunk)
    else:
        distance = DISTANCES[name] if name in DISTANCES else from_piq(name)

    def distances(reference: Pixels, candidates: Sequence[Pixels]) -> Floats:
        side = min(reference.shape[:2])
        if side < SMALLEST.get(name, 1):
            raise DpsError(
                f"{name} needs images of {SMALLEST[name]} pixels a side at least, got {side}: "
                f"leave {name} out of --peers"
            )
        return np.array([[distance(reference, candidate) for candidate in candidates]])

    return Measure((name,), distances)


def _downsampled(image: Floats, factor: int) -> Floats:
    if factor == 1:
        return image
    # An even window begins before the pixel that is kept, as in most Python versions. MATLAB's
    # imfilter begins at the pixel, which favors super-resolution by an even factor.
    averaged = cv2.blur(image, (factor, factor), borderType=cv2.BORDER_REFLECT)
    return np.asarray(averaged[::factor, ::factor], np.float64)


def _planes(image: Pixels) -> Tensor:
    """Return float RGB [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
