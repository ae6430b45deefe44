"""From a metric in PyTorch to one ONNX model: graph, names and metadata.

The model takes the context as its third input. Opset 18, no external data, no custom
operators; equal metrics give equal bytes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from torch import nn

from dps_export.views import DEFAULT, OUTPUTS, ViewedMetric
from dps_infer.model.contract import IMPORTANCE
from dps_train.model.metric import Metric

OPSET = 18
"""Opset 19's Resize ran on the CPU only in CUDA builds until 2026 (microsoft/onnxruntime#27415)."""

INPUTS = ("reference", "distorted", IMPORTANCE)

DEFAULTS = ("distance", "amounts", "map")
"""Outputs that repeat those of the default view."""

EXAMPLE_BATCH = 3
"""A batch of 1 would be baked into the graph."""

EXAMPLE_HEIGHT, EXAMPLE_WIDTH = 96, 80
"""Unequal, and no working size, so that nothing is taken for equal."""

SMALLEST_HALVED = 256
"""Tensors with fewer numbers are not worth a node that widens them again."""


def freeze(metric: Metric) -> onnx.ModelProto:
    """Return the metric as an ONNX model without a manifest, universal: see `INPUTS`.

    Args:
        metric: in evaluation mode.
    """
    metric = metric.cpu().eval()
    if any(isinstance(module, nn.modules.dropout._DropoutNd) for module in metric.modules()):
        raise ValueError("a metric with dropout cannot be frozen: remove it from the modules")
    shape = (EXAMPLE_BATCH, EXAMPLE_HEIGHT, EXAMPLE_WIDTH, 3)
    example = torch.zeros(shape, dtype=torch.uint8)
    references, count, height, width = (torch.export.Dim(name) for name in ("R", "N", "H", "W"))
    with _quiet():
        program = torch.onnx.export(
            ViewedMetric(metric),
            (example, example.clone(), torch.ones(len(metric.head.names))),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=(
                {0: references, 1: height, 2: width},
                {0: count, 1: height, 2: width},
                None,
            ),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter gave no model")
    model = program.model_proto
    _repeat_default_view(model)
    _multiply_squares(model)
    _strip(model)
    _name_shapes(model)
    _store_in_half(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _repeat_default_view(model: onnx.ModelProto) -> None:
    """Give the default view's outputs under their plain names as well, before all others."""
    views = {value.name: value for value in model.graph.output}
    outputs = []
    for name in DEFAULTS:
        source = views[f"{name}_{DEFAULT}"]
        output = onnx.ValueInfoProto()
        output.CopyFrom(source)
        output.name = name
        outputs.append(output)
        model.graph.node.append(onnx.helper.make_node("Identity", [source.name], [name]))
    outputs += model.graph.output
    del model.graph.output[:]
    model.graph.output.extend(outputs)


def _multiply_squares(model: onnx.ModelProto) -> None:
    """Say x * x for x ** 2, in place: the same numbers, and onnxruntime takes half as long."""
    twos = {
        tensor.name
        for tensor in model.graph.initializer
        if not tensor.dims and onnx.numpy_helper.to_array(tensor) == 2
    }
    for node in model.graph.node:
        if node.op_type == "Pow" and node.input[1] in twos:
            node.op_type = "Mul"
            node.input[1] = node.input[0]


def _store_in_half(model: onnx.ModelProto) -> None:
    """Store large tensors in half precision where that loses nothing.

    The embedded metric's parameters are such numbers. A node widens each of them again,
    which onnxruntime does once, when the file is loaded.
    """
    widened = []
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        if values.size < SMALLEST_HALVED or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = f"{tensor.name}_half"
        widened.append(
            onnx.helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT)
        )
        model.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(half, name))
    nodes = [*widened, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what names this machine or changes from run to run: stack traces, paths, versions."""
    del model.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "dps-toolkit", "", ""
    model.graph.name, model.graph.doc_string = "metric", ""
    del model.graph.metadata_props[:]
    for function in model.functions:
        del function.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
        value.doc_string = ""
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""


def _name_shapes(model: onnx.ModelProto) -> None:
    """Name the free dimensions of inputs and outputs as the contract does."""
    names: dict[str, tuple[str | None, ...]] = {
        "reference": ("R", "H", "W", None),
        "distorted": ("N", "H", "W", None),
        IMPORTANCE: (None,),
        "tiles": ("N", "rows", "columns", None),
    }
    for value in model.graph.output:
        kind = value.name.partition("_")[0]
        names.setdefault(value.name, ("N", "height", "width")[: 3 if kind == "map" else 1])
    for value in (*model.graph.input, *model.graph.output):
        for dimension, name in zip(value.type.tensor_type.shape.dim, names[value.name]):  # noqa: B905
            # Sizes that are always the same stay numbers.
            if name is not None and not dimension.HasField("dim_value"):
                dimension.dim_param = name


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's chatter off the terminal; its errors are raised all the same."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
