"""Loss networks: cut at named layers, frozen, and loaded strictly."""

from __future__ import annotations

import hashlib
import re
import urllib.error
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn
from train_helpers import random_backbone, seeded

from dps_infer.errors import UsageError
from dps_train.model.backbone import backbones
from dps_train.model.backbone.backbones import Backbone, load_backbone
from dps_train.model.backbone.layer_presets import DEFAULTS
from dps_train.model.backbone.weights import WeightsError, load_strictly, read_weights, state_sha256

SHARED_WEIGHTS = (
    Path(__file__).parents[4] / "shared/weights/squeezenet1_1_imagenet_features.safetensors"
)


def random_images(count: int = 2, side: int = 64) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=seeded())


@pytest.fixture(scope="module")
def squeezenet_state() -> dict[str, torch.Tensor]:
    """A full torchvision state, classifier included, of random numbers."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torchvision.models.squeezenet1_1(weights=None).state_dict()


def save(path: Path, state: dict[str, torch.Tensor]) -> Path:
    safetensors.torch.save_file(state, path)
    return path


def refusal(error: type[Exception], function, *arguments: object, **options: object) -> str:
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    return str(caught.value)


# --- which layers ---------------------------------------------------------------------


def test_layers_come_in_the_order_they_were_named():
    backbone = random_backbone("squeezenet1_1", ("features.7", "features.1"))
    straight = random_backbone("squeezenet1_1", ("features.1", "features.7"))
    images = random_images()
    for layer, other in zip(backbone(images), reversed(straight(images)), strict=True):
        assert torch.equal(layer, other)


def test_the_embedded_network_is_always_the_same():
    first = load_backbone("embedded")
    torch.rand(3)
    second = load_backbone("embedded")
    assert state_sha256(first.network) == state_sha256(second.network)
    assert first.weights == second.weights
    assert len(first.weights.sha256) == 64
    assert first.weights.source
    assert first.weights.licence
    images = random_images()
    for layer, other in zip(first(images), second(images), strict=True):
        assert torch.equal(layer, other)
        assert layer.std() > 0


@pytest.mark.parametrize(
    ("name", "layers", "expected"),
    [
        ("squeezenet9", None, "unknown backbone 'squeezenet9'"),
        ("squeezenet9", ("features.1",), "unknown backbone 'squeezenet9'"),
        ("", None, "unknown backbone ''"),
        ("vit_b_16", None, "--layers"),
        ("squeezenet1_1", ("features.1", "features.99"), "features.99"),
        ("embedded", ("stage9",), "'stage9'"),
    ],
)
def test_an_unknown_network_or_layer(name, layers, expected):
    assert expected in refusal(UsageError, Backbone, name, layers)


@pytest.mark.parametrize("name", ["fcn_resnet50", "raft_small", "fasterrcnn_resnet50_fpn"])
def test_what_is_no_classification_model_is_unknown_and_downloads_nothing(name, monkeypatch):
    def download(*_arguments, **_options):
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", download)
    assert name in refusal(UsageError, Backbone, name, ("backbone.layer1",))


# --- frozen ---------------------------------------------------------------------------


def untouched(name: str, nodes: tuple[str, ...], images: torch.Tensor) -> list[torch.Tensor]:
    """What modules give, caught before anything later can write over it."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = torchvision.models.get_model(name, weights=None).eval()
    seen: dict[str, torch.Tensor] = {}
    for node in nodes:
        model.get_submodule(node).register_forward_hook(
            lambda _module, _inputs, output, node=node: seen.__setitem__(node, output.clone())
        )
    with torch.no_grad():
        model(images)
    return [seen[node] for node in nodes]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("squeezenet1_1", ("features.0", "features.1", "features.3.squeeze")),
        ("shufflenet_v2_x0_5", ("conv1.1", "conv1.2")),
        # Its ReLUs are functions, no modules.
        ("googlenet", ("conv1.bn", "conv1")),
        ("mnasnet0_5", ("layers.1", "layers.2")),
        ("resnet18", ("bn1", "relu", "layer1.0.bn1")),
        ("resnet18", ("layer1.0.bn2", "layer1")),
    ],
)
@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@torch.no_grad()
def test_maps_are_not_overwritten_by_what_follows(name, layers):
    # In-place ReLUs and additions would leave their own result in the map before them.
    backbone = random_backbone(name, layers)
    images = random_images()
    expected = untouched(name, layers, images)
    for layer, true in zip(backbone(images), expected, strict=True):
        torch.testing.assert_close(layer, true, rtol=0, atol=0)
    assert expected[0].min() < 0


@torch.no_grad()
def test_images_are_not_overwritten():
    images = random_images()
    before = images.clone()
    Backbone("squeezenet1_1")(images)
    assert torch.equal(images, before)


@torch.no_grad()
def test_batch_norm_stays_frozen_in_training_mode():
    backbone = Backbone("resnet18", ("relu", "layer1"))
    holder = nn.Sequential(backbone)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    images = random_images()
    expected = backbone(images)
    for frozen in (backbone.train(), holder.train()[0]):
        assert isinstance(frozen, Backbone)
        assert not any(module.training for module in frozen.modules())
        for layer, true in zip(frozen(images), expected, strict=True):
            assert torch.equal(layer, true)
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_nothing_in_it_is_trained():
    assert not any(value.requires_grad for value in Backbone("embedded").parameters())


# --- weights --------------------------------------------------------------------------


def test_a_full_state_with_its_classifier_fits_the_cut_trunk(tmp_path, squeezenet_state):
    path = save(tmp_path / "full.safetensors", squeezenet_state)
    backbone = load_backbone("squeezenet1_1", weights=path)
    state = backbone.network.state_dict()
    assert state
    for key, value in state.items():
        assert torch.equal(value, squeezenet_state[key]), key
    assert backbone.weights.source == "full.safetensors"
    assert backbone.weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("metadata", "source", "licence"),
    [
        (None, "w.safetensors", "unknown: see its source"),
        ({"format": "pt"}, "w.safetensors", "unknown: see its source"),
        ({"source": "our own", "licence": "MIT"}, "our own", "MIT"),
        ({"source": " two\nlines", "license": "MIT"}, "two lines", "MIT"),
    ],
)
def test_a_file_may_state_its_source_and_licence(
    tmp_path, squeezenet_state, metadata, source, licence
):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(squeezenet_state, path, metadata=metadata)
    weights = load_backbone("squeezenet1_1", weights=path).weights
    assert (weights.source, weights.licence) == (source, licence)


def test_densenets_older_names_fit(tmp_path):
    layers = ("features.denseblock1",)
    state = Backbone("densenet121", layers).network.state_dict()
    # As torchvision's own file names them.
    old = {re.sub(r"\.(norm|conv)([12])\.", r".\1.\2.", key): v for key, v in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    backbone = load_backbone("densenet121", layers=layers, weights=save(tmp_path / "d", old))
    for key, value in backbone.network.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_the_trunk_alone_fits_as_well(tmp_path, squeezenet_state):
    trunk = {k: v for k, v in squeezenet_state.items() if k.startswith("features.")}
    backbone = load_backbone("squeezenet1_1", weights=save(tmp_path / "t.safetensors", trunk))
    assert torch.equal(backbone.network.state_dict()["features.0.bias"], trunk["features.0.bias"])


def test_older_files_lack_batch_norm_counters(tmp_path):
    state = Backbone("resnet18", ("relu", "layer1")).network.state_dict()
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    path = save(tmp_path / "old.safetensors", old)
    assert load_backbone("resnet18", layers=("relu", "layer1"), weights=path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.pop("features.3.squeeze.weight"), "missing: features.3.squeeze.weight"),
        (lambda s: s.update({"features.99.bias": torch.zeros(1)}), "surplus: features.99.bias"),
        (
            lambda s: s.update({"features.0.bias": torch.zeros(3)}),
            "shapes: features.0.bias is (3,) instead of (64,)",
        ),
        (
            lambda s: [s.update({f"module.{key}": s.pop(key)}) for key in list(s)],
            "missing: features.0.weight, features.0.bias",
        ),
    ],
    ids=["missing", "surplus", "shape", "prefix"],
)
def test_a_file_that_does_not_fit(tmp_path, squeezenet_state, change, expected):
    state = dict(squeezenet_state)
    change(state)
    path = save(tmp_path / "odd.safetensors", state)
    message = refusal(WeightsError, load_backbone, "squeezenet1_1", weights=path)
    assert expected in message
    assert str(path) in message
    assert "\n" not in message


def test_all_faults_are_named_at_once(tmp_path, squeezenet_state):
    state = dict(squeezenet_state)
    state["features.0.bias"] = torch.zeros(3)
    state["more"] = torch.zeros(1)
    del state["features.0.weight"]
    path = save(tmp_path / "odd.safetensors", state)
    message = refusal(WeightsError, load_backbone, "squeezenet1_1", weights=path)
    for expected in ("missing: features.0.weight", "surplus: more", "features.0.bias is (3,)"):
        assert expected in message


def test_every_fault_is_named():
    message = refusal(
        WeightsError, load_strictly, nn.Linear(1, 1), {f"k{i}": torch.zeros(1) for i in range(50)},
        origin="file",
    )  # fmt: skip
    assert "missing: weight, bias" in message
    assert all(f"k{i}" in message for i in range(50))


def test_a_refused_file_changes_no_weight(squeezenet_state):
    backbone = Backbone("squeezenet1_1")
    before = state_sha256(backbone.network)
    short = {k: v for k, v in squeezenet_state.items() if k != "features.0.bias"}
    refusal(WeightsError, load_strictly, backbone.network, short, origin="file")
    assert state_sha256(backbone.network) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"not safetensors at all", b"\xff" * 64, b"PK\x03\x04 a pickle" * 9],
    ids=["empty", "text", "binary", "pickle"],
)
def test_a_file_that_is_no_safetensors(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    message = refusal(WeightsError, read_weights, path)
    assert str(path) in message
    assert "safetensors" in message
    assert "\n" not in message


def test_a_truncated_file(tmp_path, squeezenet_state):
    path = save(tmp_path / "weights.safetensors", squeezenet_state)
    path.write_bytes(path.read_bytes()[:-100])
    assert str(path) in refusal(WeightsError, load_backbone, "squeezenet1_1", weights=path)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        message = refusal(WeightsError, load_backbone, "embedded", weights=path)
        assert f"{path} is not a file" in message


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Name or service not known"),
        OSError("Network is unreachable"),
        RuntimeError('invalid hash value (expected "aa", got "bb")'),
    ],
    ids=["url", "os", "hash"],
)
def test_a_failed_download(monkeypatch, error):
    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr(torchvision.models._api.WeightsEnum, "get_state_dict", fail)
    message = refusal(WeightsError, load_backbone, "squeezenet1_1")
    assert "squeezenet1_1" in message
    assert "--weights FILE" in message
    assert "\n" not in message


def test_a_download_is_loaded_and_recorded(monkeypatch, squeezenet_state):
    monkeypatch.setattr(
        torchvision.models._api.WeightsEnum,
        "get_state_dict",
        lambda *_arguments, **_options: squeezenet_state,
    )
    backbone = load_backbone("squeezenet1_1")
    assert torch.equal(
        backbone.network.state_dict()["features.0.bias"], squeezenet_state["features.0.bias"]
    )
    assert backbone.weights.source.startswith("torchvision SqueezeNet1_1_Weights")
    assert backbone.weights.sha256 == state_sha256(backbone.network)


@pytest.mark.parametrize(
    ("name", "chosen", "licence"),
    [
        # The paper's weights, though newer ones exist.
        ("resnet50", "IMAGENET1K_V1", "BSD-3-Clause"),
        # Those that have terms of their own.
        ("regnet_y_128gf", "IMAGENET1K_SWAG_E2E_V1", "SWAG/blob/main/LICENSE"),
    ],
)
def test_a_downloads_licence_is_recorded(monkeypatch, name, chosen, licence):
    backbone = Backbone("embedded")
    backbone.name = name
    asked = []

    def state(weights, **_options):
        asked.append(weights)
        return backbone.network.state_dict()

    monkeypatch.setattr(torchvision.models._api.WeightsEnum, "get_state_dict", state)
    backbones._download(backbone)
    assert [weights.name for weights in asked] == [chosen]
    assert licence in backbone.weights.licence


@pytest.mark.skipif(not SHARED_WEIGHTS.is_file(), reason="the shared weights are not at hand")
@torch.no_grad()
def test_the_shared_trunk_loads_strictly():
    backbone = load_backbone("squeezenet1_1", weights=SHARED_WEIGHTS)
    expected = read_weights(SHARED_WEIGHTS)
    assert set(backbone.network.state_dict()) == set(expected)
    maps = backbone(random_images())
    assert len(maps) == len(DEFAULTS["squeezenet1_1"])
    assert all(layer.std() > 0 for layer in maps)
