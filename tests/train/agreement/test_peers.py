"""Other metrics beside ours: closed forms, and the packages themselves."""

from __future__ import annotations

import importlib.util
import warnings

import lpips
import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from skimage.metrics import structural_similarity
from train_helpers import photos

from dps_infer.errors import DpsError, UsageError
from dps_train.agreement.peers import IDENTICAL, PEERS, peer_measures, psnr, ssim
from dps_train.model.backbone.weights import WeightsError

# piq 0.8 makes tensors in a way that torch 2.15 warns about.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

WITHOUT_WEIGHTS = ",".join(name for name in PEERS if name != "lpips")


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, list[np.ndarray]]:
    """A photograph, and it with little and much noise."""
    reference = photos(1, 96, 80, seed=2)[0].numpy()
    rng = np.random.default_rng(0)
    noisy = [
        np.clip(reference + rng.normal(0, sigma, reference.shape), 0, 255) for sigma in (4, 40)
    ]
    return reference, [one.astype(np.uint8) for one in noisy]


def test_psnr_is_that_of_the_mean_squared_error():
    black, gray = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 51, np.uint8)
    # A fifth of the range everywhere: 20 log10(5).
    assert psnr(black, gray) == pytest.approx(20 * np.log10(5))
    assert psnr(gray, gray) == IDENTICAL


def test_ssim_averages_down_until_the_shorter_side_is_near_256():
    rng = np.random.default_rng(0)
    # 2 x 2 pixels are averaged where the shorter side is about 512.
    large = rng.integers(0, 255, (500, 520, 3), np.uint8)
    noisy = np.clip(large + rng.normal(0, 40, large.shape), 0, 255).astype(np.uint8)
    grays = [one @ np.array([0.299, 0.587, 0.114]) for one in (large, noisy)]
    # A square ends with the pixel that is kept; the first row and column are mirrored.
    mirrored = [np.pad(one, ((1, 0), (1, 0)), "symmetric")[:500, :520] for one in grays]
    means = [one.reshape(250, 2, 260, 2).mean(axis=(1, 3)) for one in mirrored]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected, other = (
        structural_similarity(*both, data_range=255, **settings) for both in (means, grays)
    )
    assert ssim(large, noisy) == pytest.approx(expected)
    assert expected != pytest.approx(other, abs=1e-3)
    assert ssim(large, large) == pytest.approx(1)


def test_every_peer_is_0_for_identical_images_and_grows_with_noise(images):
    reference, noisy = images
    measures = peer_measures(WITHOUT_WEIGHTS, trunk=None)
    assert [measure.names for measure in measures] == [(name,) for name in PEERS if name != "lpips"]
    for measure in measures:
        same, little, much = measure.distances(reference, [reference, *noisy])[0]
        assert same == pytest.approx(0, abs=1e-5), measure.names
        assert same < little < much, measure.names


def test_mdsi_takes_the_distorted_image_first(images):
    import piq

    reference, noisy = images
    (measure,) = peer_measures("mdsi", trunk=None)
    first, second = (
        torch.from_numpy(one).permute(2, 0, 1)[None].float() / 255 for one in (reference, noisy[1])
    )
    found = measure.distances(reference, noisy[1:])[0, 0]
    assert found == pytest.approx(float(piq.mdsi(second, first)))
    assert found != pytest.approx(float(piq.mdsi(first, second)), rel=1e-3)


def test_lpips_is_that_of_the_package_with_the_trunk_that_is_given(images, tmp_path):
    reference, noisy = images
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk = torchvision.models.squeezenet1_1(weights=None)
        theirs = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    path = tmp_path / "squeeze.safetensors"
    safetensors.torch.save_file(trunk.state_dict(), path)
    state = trunk.features.state_dict()
    theirs.net.load_state_dict({k: state[k.partition(".")[2]] for k in theirs.net.state_dict()})
    (measure,) = peer_measures("lpips", trunk=path)
    first, *others = (lpips.im2tensor(one) for one in (reference, *noisy))
    with torch.no_grad():
        expected = [float(theirs(first, one)) for one in others]
    # im2tensor divides by 127.5 and this by 255, which rounds differently.
    np.testing.assert_allclose(measure.distances(reference, noisy)[0], expected, rtol=1e-4)


# --- refusals ---------------------------------------------------------------------------


def test_an_unknown_peer_is_refused_with_those_that_are_known():
    with pytest.raises(UsageError, match="names 'butter': expected some of psnr,ssim,lpips"):
        peer_measures("psnr,butter", trunk=None)


def test_a_trunk_is_for_lpips(tmp_path):
    with pytest.raises(UsageError, match="--lpips-trunk is for --peers lpips"):
        peer_measures("psnr", trunk=tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="is not a file"):
        peer_measures("lpips", trunk=tmp_path / "x.safetensors")


def test_packages_that_are_missing_are_named_with_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DpsError, match=r"needs lpips and piq: pip install .*\[train,peers\]"):
        peer_measures("lpips,vsi,psnr", trunk=None)


def test_images_that_are_too_small_for_a_peer_are_refused(images):
    reference, _ = images
    small = reference[:10, :10]
    for name in ("ssim", "haarpsi"):
        (measure,) = peer_measures(name, trunk=None)
        with pytest.raises(DpsError, match=f"{name} needs images of"):
            measure.distances(small, [small])


@pytest.mark.parametrize("side", [16, 17])
def test_the_smallest_images_that_are_allowed_are_measured(images, side):
    reference, noisy = images
    for measure in peer_measures(WITHOUT_WEIGHTS, trunk=None):
        with warnings.catch_warnings():
            found = measure.distances(reference[:side, :side], [noisy[0][:side, :side]])
        assert np.isfinite(found).all(), measure.names
