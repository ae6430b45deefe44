"""Presets: the layers of each, and the export of each family of networks to ONNX.

Weights are random. A light network is frozen as a whole metric, for images and batches of every
size. Of each further family, the network with the shortest trace is traced with its comparison
only, at one size, and its graph is not optimized: tracing takes most of the time, and a whole
metric holds its network twice. DenseNet and GoogLeNet have no operators that Inception lacks.
"""

from __future__ import annotations

import logging
import warnings
from itertools import accumulate

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from torch import Tensor, nn
from train_helpers import photos, seeded

from dps_export.freeze import OPSET, freeze
from dps_infer.errors import UsageError
from dps_train.model.backbone.backbones import NORMALIZATIONS, Backbone, load_backbone
from dps_train.model.backbone.layer_presets import DEFAULTS, LPIPS, PAPER, PRESETS, resolve_layers
from dps_train.model.comparisons import Comparison
from dps_train.model.embedded import embedded_backbone
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric, Preprocess

FAMILIES = ("alexnet", "vgg11", "resnet18", "inception_v3", "efficientnet_b0")

COUNTED = {
    "alexnet": (1, 4, 7, 11),
    "squeezenet1_1": (1, 3, 7, 12),
    "vgg11": (1, 4, 9, 19),
    "vgg16": (3, 8, 15, 29),
    "vgg16_bn": (5, 12, 22, 42),
    "vgg19": (3, 8, 17, 35),
    "densenet121": (2, 4, 6, 10),
    "resnet18": (2, 4, 5, 7),
    "resnet50": (2, 4, 5, 7),
    "resnext50_32x4d": (2, 4, 5, 7),
    "googlenet": (0, 5, 8, 15),
    "inception_v3": (2, 7, 9, 14),
    "efficientnet_b0": (0, 1, 4, 7),
    "efficientnet_b7": (0, 1, 4, 7),
}
"""The paper's layers as its authors' code counts them."""

COUNTED_BY_LPIPS = {
    "alexnet": (1, 4, 7, 9, 11),
    "vgg16": (3, 8, 15, 22, 29),
    "squeezenet1_1": (1, 4, 7, 9, 10, 11, 12),
}


def random_trunk(name: str, layers: tuple[str, ...]) -> Backbone:
    """A network without its unused part, whose activations neither vanish nor explode."""
    with torch.device("meta"):
        backbone = Backbone(name, layers)
    backbone.to_empty(device="cpu")
    generator = seeded(3)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            # Through 1's, rounding grows in the deepest of them to a third of the last map.
            module.weight.fill_(0.7)
            module.bias.normal_(0, 0.1, generator=generator)
        elif isinstance(module, nn.Conv2d):
            module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.normal_(0, 0.1, generator=generator)
    return backbone


# --- which layers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "counted"),
    [
        *(("paper", name, counted) for name, counted in COUNTED.items()),
        *(("lpips", name, counted) for name, counted in COUNTED_BY_LPIPS.items()),
    ],
)
def test_names_mean_the_layers_that_the_authors_count(kind, name, counted):
    # Shapes are enough: no two layers before and behind one of these are alike in all.
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = torchvision.models.get_model(name, weights=None).eval()
        backbone = Backbone(name, PRESETS[kind][name])
        image = torch.empty(1, 3, 96, 128)
        # One after another, as they do it.
        children = list(getattr(model, "features", model).children())[: counted[-1] + 1]
        outputs = list(accumulate([image, *children], lambda x, module: module(x)))[1:]
        names = [child for child, _ in getattr(model, "features", model).named_children()]
        maps = backbone(image)
    for node, number, layer in zip(backbone.layers, counted, maps, strict=True):
        assert node.removeprefix("features.") == names[number]
        assert layer.shape == outputs[number].shape


def test_every_network_of_the_paper_and_of_lpips_is_there():
    assert set(PAPER) == set(COUNTED)
    assert set(LPIPS) == set(COUNTED_BY_LPIPS)
    assert set(DEFAULTS) == {"embedded", *PAPER}


@pytest.mark.parametrize(
    ("name", "text", "layers"),
    [
        ("embedded", None, embedded_backbone.LAYERS),
        ("alexnet", None, PAPER["alexnet"]),
        ("alexnet", "paper", PAPER["alexnet"]),
        ("alexnet", "lpips", LPIPS["alexnet"]),
        ("alexnet", "features.4", ("features.4",)),
        ("vit_b_16", "conv_proj", ("conv_proj",)),
        ("resnet18", "layer2, relu", ("layer2", "relu")),
    ],
)
def test_what_a_user_may_call_layers(name, text, layers):
    assert resolve_layers(name, text) == layers


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("vit_b_16", None, "vit_b_16 has no default layers"),
        ("vit_b_16", "paper", "only for alexnet, squeezenet1_1"),
        ("resnet18", "lpips", "only for alexnet, squeezenet1_1, vgg16"),
        ("embedded", "lpips", "--layers lpips has none for embedded"),
        ("alexnet", "", "expected paper, lpips, or nodes"),
        ("alexnet", "features.1,,features.4", "each once"),
        ("alexnet", "features.1,features.1", "each once"),
        ("alexnet9", "paper", "unknown backbone 'alexnet9'"),
        ("alexnet9", "features.1", "unknown backbone 'alexnet9'"),
    ],
)
def test_layers_that_are_not_there(name, text, message):
    with pytest.raises(UsageError) as caught:
        resolve_layers(name, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# --- sizes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layers", "size", "message"),
    [
        ("alexnet", None, (30, 200), "does not accept images of 200 x 30 pixels, it needs 31 x 31"),
        ("inception_v3", ("Mixed_7c",), (64, 64), "it needs 75 x 75"),
        ("vit_b_16", ("conv_proj",), (64, 64), "it needs 224 x 224"),
    ],
)
def test_an_image_that_is_too_small_is_one_clear_line(name, layers, size, message, capfd):
    with torch.device("meta"):
        backbone = Backbone(name, layers)
        with pytest.raises(UsageError) as caught:
            backbone(torch.empty(1, 3, *size))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    # A module that was traced is wont to print its own code.
    assert capfd.readouterr().err == ""


@torch.no_grad()
def test_the_smallest_size_is_the_one_that_runs():
    backbone = random_trunk("alexnet", PAPER["alexnet"])
    backbone.check_size(31, 31)
    assert [tuple(layer.shape) for layer in backbone(torch.zeros(1, 3, 31, 31))] == backbone.shapes(
        31, 31
    )
    with pytest.raises(UsageError):
        backbone.check_size(31, 30)


def test_another_error_than_the_size_stays_what_it_is():
    with pytest.raises(RuntimeError, match="channels"):
        Backbone("embedded")(torch.zeros(1, 4, 64, 64))


@pytest.mark.parametrize(
    ("name", "layer"),
    [("swin_t", "features.1"), ("alexnet", "flatten"), ("shufflenet_v2_x0_5", "stage2.1.chunk")],
    ids=["channels last", "flattened", "several"],
)
def test_a_node_that_gives_no_feature_map(name, layer):
    with torch.device("meta"), pytest.raises(UsageError, match=f"{layer} gives no feature map"):
        load_backbone(name, layers=(layer,))


# --- normalization --------------------------------------------------------------------


def test_lpips_normalizes_as_it_states():
    images = photos(2, 24, 20)
    ours = Preprocess(None, *NORMALIZATIONS["lpips"])(images)
    values = images.permute(0, 3, 1, 2).double() / 255 * 2 - 1
    shift, scale = torch.tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]]).double()
    theirs = (values - shift[:, None, None]) / scale[:, None, None]
    torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-6)


def test_imagenets_and_lpips_numbers_are_the_same():
    for ours, theirs in zip(*NORMALIZATIONS.values(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)


# --- ONNX -----------------------------------------------------------------------------


class Compared(nn.Module):
    """Channel distances of two batches of normalized images."""

    def __init__(self, backbone: Backbone, comparison: Comparison) -> None:
        super().__init__()
        self.backbone, self.comparison = backbone, comparison

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        maps = self.comparison.normalized(self.backbone(torch.cat([first, second])))
        count = first.shape[0]
        return self.comparison([m[:count] for m in maps], [m[count:] for m in maps])


def traced(module: Compared, example: tuple[Tensor, Tensor]) -> onnx.ModelProto:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def outputs(model: onnx.ModelProto, *inputs: Tensor) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Optimizing the large ones takes longer than running them once.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_outputs()]
    feed = zip(session.get_inputs(), inputs, strict=True)
    values = session.run(names, {value.name: tensor.numpy() for value, tensor in feed})
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_every_family_exports_to_onnx(name):
    backbone = random_trunk(name, PAPER[name])
    module = Compared(backbone, Comparison("spatial+mean")).eval()
    first, second = torch.randn(2, 2, 3, 64, 64, generator=seeded())
    expected = module(first, second)
    channels = [2 * shape[1] for shape in backbone.shapes(64, 64)]
    assert all(part.sum() > 0 for part in expected.split(channels, dim=1))
    (z,) = outputs(traced(module, (first, second)), first, second).values()
    # Sums of up to 2,000 products, in another order.
    np.testing.assert_allclose(z, expected, rtol=0, atol=1e-5 * float(expected.max()))


@torch.no_grad()
def test_a_light_network_freezes_as_a_metric():
    backbone = random_trunk("squeezenet1_1", PAPER["squeezenet1_1"])
    channels = 2 * sum(shape[1] for shape in backbone.shapes(64, 64))
    metric = Metric(Preprocess(64), backbone, Comparison("spatial+sort"), ScalarHead(channels))
    metric.head.weights.uniform_(0, 1, generator=seeded(1))
    reference, distorted = photos(2, 70, 90, 1), photos(2, 70, 90, 2)
    expected, _, _ = metric.eval()(reference, distorted)
    assert expected.min() > 0.01
    seen = outputs(freeze(metric), reference, distorted, torch.ones(1))
    np.testing.assert_allclose(seen["distance"], expected, rtol=1e-5)
    assert np.all(seen["distance"] > 0)
