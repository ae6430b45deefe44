"""Compute a network in smaller numbers: half precision, or whole numbers of 8 bits.

The convolutions of the backbone alone become smaller. What else a graph computes (sizes and
positions, the motion, sums over images, logarithms, and the heads that read these) keeps float32:
in half precision, positions in pixels of large images are wrong by whole pixels, and squared
differences of faint changes vanish.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from dps_export.lean.choice import Precision
from dps_infer.errors import UsageError
from dps_infer.runtime.bands import CUT

NETWORK = ".backbone."
"""What the names of the backbone's weights contain."""

BETWEEN = frozenset(("Relu", "MaxPool", "Concat"))
"""Operators between convolutions that compute in their numbers."""

Feeds = Mapping[str, NDArray[Any]]


def in_precision(
    model: onnx.ModelProto, precision: Precision, pairs: Sequence[Feeds]
) -> onnx.ModelProto:
    """Return a model whose network computes in smaller numbers; its inputs and outputs stay.

    Args:
        model: a universal model in float32.
        precision: the numbers.
        pairs: inputs of the model, from which 8 bits learn the ranges of values.

    Raises:
        UsageError: the model has no network whose weights are known by their names.
    """
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    if precision is Precision.fp32:
        return wide
    chosen = convolutions(wide)
    if not chosen:
        raise UsageError("the metric has no convolutions to compute in smaller numbers")
    _widen(wide, chosen)
    with _quiet():
        narrow = (
            _halved(wide, chosen)
            if precision is Precision.fp16
            else _in_8_bits(wide, chosen, pairs)
        )
    # Types of tensors in the network have changed, and runtimes find them themselves.
    kept = [value for value in model.graph.value_info if value.name.startswith(CUT)]
    del narrow.graph.value_info[:]
    narrow.graph.value_info.extend(kept)
    for field in ("producer_name", "producer_version", "ir_version"):
        setattr(narrow, field, getattr(model, field))
    del narrow.metadata_props[:]
    standard = [one for one in narrow.opset_import if not one.domain]
    del narrow.opset_import[:]
    narrow.opset_import.extend(standard)
    onnx.checker.check_model(narrow, full_check=True)
    return narrow


def convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes to compute in smaller numbers."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and any(NETWORK in name for name in node.input[1:])
    ]


def _widen(model: onnx.ModelProto, nodes: Iterable[str]) -> None:
    """Store the weights of nodes in float32, in place: the tools look for them there."""
    named = set(nodes)
    taken = {name for node in model.graph.node if node.name in named for name in node.input[1:]}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.output[0] in taken and node.input[0] in stored:
            values = numpy_helper.to_array(stored[node.input[0]]).astype("float32")
            stored[node.input[0]].CopyFrom(numpy_helper.from_array(values, node.output[0]))
            model.graph.node.remove(node)


def _halved(model: onnx.ModelProto, chosen: Sequence[str]) -> onnx.ModelProto:
    """Convert the network by itself: the tool rounds every tensor between nodes of its model."""
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    inside, outside = _network(model, set(chosen))
    given = {name for node in inside for name in node.output}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    taken = dict.fromkeys(name for node in inside for name in node.input)
    used = {name for node in outside for name in node.input}
    part = onnx.helper.make_model(
        onnx.helper.make_graph(
            inside,
            "network",
            [_port(name) for name in taken if name not in given and name not in stored],
            [_port(name) for node in inside for name in node.output if name in used],
            [stored[name] for name in taken if name in stored],
        ),
        opset_imports=model.opset_import,
    )
    halves = convert_float_to_float16(part, keep_io_types=True, disable_shape_infer=True).graph
    del model.graph.node[:]
    model.graph.node.extend([*outside, *halves.node])
    rest = [tensor for name, tensor in stored.items() if name not in taken or name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*rest, *halves.initializer])
    ONNXModel(model).topological_sort()
    return model


def _network(
    model: onnx.ModelProto, chosen: set[str]
) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Return the chosen nodes with what stands between them, and all other nodes."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inside: list[onnx.NodeProto] = []
    outside: list[onnx.NodeProto] = []
    given = set[str]()
    for node in model.graph.node:
        between = node.op_type in BETWEEN and all(n in given or n in stored for n in node.input)
        if node.name in chosen or between:
            inside.append(node)
            given.update(node.output)
        else:
            outside.append(node)
    return inside, outside


def _port(name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * 4)


def _turned(pair: Feeds) -> dict[str, NDArray[Any]]:
    return {**pair, "reference": pair["distorted"], "distorted": pair["reference"]}


def _in_8_bits(
    model: onnx.ModelProto, chosen: Sequence[str], pairs: Sequence[Feeds]
) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands out the pairs one after another."""

        def __init__(self) -> None:
            # Both ways: each image's network must have the ranges of the other, or else identical
            # images would have a distance.
            self._left = iter([one for pair in pairs for one in (dict(pair), _turned(pair))])

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            path,
            Reader(),
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=list(chosen),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the tools' messages; their errors are still raised."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
