"""LPIPS as a metric of ours, with the linear weights that its package publishes."""

from __future__ import annotations

import pickle
from pathlib import Path

import lpips
import pytest
import safetensors.torch
import torch
from torch import Tensor
from train_helpers import photos

from dps_export.lpips import lpips_metric, read_linear_weights
from dps_infer.errors import UsageError
from dps_train.model.backbone.weights import WeightsError

PUBLISHED = Path(lpips.__file__).parent / "weights/v0.1"
CHANNELS = [64, 192, 384, 256, 256]


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
@pytest.mark.parametrize("net", ["squeeze", "alex"])
@torch.no_grad()
def test_it_is_lpips(net, tmp_path):
    # The trunk is random: ImageNet's weights would be a download.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    trunk = {
        f"features.{key.partition('.')[2]}": value for key, value in theirs.net.state_dict().items()
    }
    path = tmp_path / "trunk.safetensors"
    safetensors.torch.save_file(trunk, path)
    ours = lpips_metric(net, trunk_weights=path, linear_weights=PUBLISHED / f"{net}.pth")
    reference, distorted = photos(2, 70, 82, 1), photos(2, 70, 82, 2)
    distance, _, _ = ours(reference, distorted)
    images = (each.permute(0, 3, 1, 2) / 127.5 - 1 for each in (reference, distorted))
    assert distance.min() > 0.05
    # See tests/train/test_lpips_parity.py.
    torch.testing.assert_close(distance, theirs(*images).flatten(), rtol=0, atol=1e-6)


def test_an_unknown_network():
    with pytest.raises(UsageError, match="unknown LPIPS network 'alexnet': expected alex, vgg"):
        lpips_metric("alexnet", trunk_weights=None, linear_weights=PUBLISHED / "alex.pth")


def linear() -> dict[str, Tensor]:
    return {f"lin{n}.model.1.weight": torch.ones(1, c, 1, 1) for n, c in enumerate(CHANNELS)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("lin4.model.1.weight"), "does not fit"),
        (lambda s: s.update(more=torch.ones(1)), r"more \[1\]"),
        (lambda s: s.update({"lin0.model.1.weight": torch.ones(1, 3, 1, 1)}), r"\[1, 3, 1, 1\]"),
        (lambda s: s["lin0.model.1.weight"].mul_(-1), "not weights >= 0"),
        (lambda s: s["lin0.model.1.weight"].fill_(torch.nan), "not weights >= 0"),
    ],
    ids=["missing", "surplus", "shape", "negative", "nan"],
)
def test_linear_weights_that_do_not_fit(change, message, tmp_path):
    path = tmp_path / "odd.pth"
    state = linear()
    torch.save(state, path)
    assert read_linear_weights(path, CHANNELS).sum() == sum(CHANNELS)
    change(state)
    torch.save(state, path)
    with pytest.raises(WeightsError, match=message):
        read_linear_weights(path, CHANNELS)


@pytest.mark.parametrize(
    "content",
    [b"", b"no pickle", pickle.dumps(PUBLISHED), pickle.dumps([1])],
    ids=["empty", "text", "code", "list"],
)
def test_a_file_of_something_else_is_refused_and_never_run(content, tmp_path):
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_linear_weights(path, CHANNELS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(WeightsError, match="is not a file"):
        read_linear_weights(tmp_path / "none.pth", CHANNELS)
