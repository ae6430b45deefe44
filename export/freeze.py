"""Convert a PyTorch metric to an ONNX model: graph, names and metadata.

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
import onnx_ir
import onnxscript.optimizer
import onnxscript.rewriter
import torch
from onnx_ir.passes import common as passes
from onnxscript.rewriter.rules import common as rules
from torch import nn

from dps_export.outputs import CuttableMetric, ExportedMetric
from dps_infer.graph.model import read_model
from dps_infer.graph.split import split
from dps_infer.model.contract import IMPORTANCE
from dps_infer.runtime.bands import CUT
from dps_infer.runtime.engine import SHARED
from dps_train.model.metric import Metric

OPSET = 18
"""Opset 19's Resize ran on the CPU only in CUDA builds until 2026 (microsoft/onnxruntime#27415)."""

INPUTS = ("reference", "distorted", IMPORTANCE)

EXAMPLE_BATCH = 3
"""The exporter would bake a batch of 1 into the graph."""

EXAMPLE_HEIGHT, EXAMPLE_WIDTH = 96, 80
"""Unequal, and not a working size, so that the exporter assumes no two sizes to be equal."""

RULES = (
    *(rules.add_0_rule, rules.sub_0_rule, rules.mul_by_1_rule, rules.div_by_1_rule),
    *(rules.collapse_slice_rule, rules.collapse_slice2_rule, rules.materialize_reshape_shape_rule),
    *(rules.min_max_rule, rules.max_min_rule, rules.cast_cast_rule, rules.no_op_cast_rule),
    *(rules.no_op_expand_rule, rules.no_op_transpose_rule, rules.reshape_reshape_rule),
    *(rules.transpose_transpose_rule, rules.unsqueeze_unsqueeze_rule),
    rules.remove_optional_bias_from_conv_rule,
)
"""The exporter's rewrite rules that find something in metrics."""

ROUNDS = 3
"""What one rule rewrites lets others fire."""

SMALLEST_HALVED = 256
"""Smaller tensors are not worth the node that casts them back to float32."""


def freeze(metric: Metric) -> onnx.ModelProto:
    """Return the metric as a universal ONNX model, without a manifest; see `INPUTS`.

    Args:
        metric: in evaluation mode.
    """
    metric = metric.cpu().eval()
    if any(isinstance(module, nn.modules.dropout._DropoutNd) for module in metric.modules()):
        raise ValueError("a metric with dropout cannot be frozen: remove it from the modules")
    shape = (EXAMPLE_BATCH, EXAMPLE_HEIGHT, EXAMPLE_WIDTH, 3)
    example = torch.zeros(shape, dtype=torch.uint8)
    references, count, height, width = (torch.export.Dim(name) for name in ("R", "N", "H", "W"))
    examples = example, example.clone(), torch.ones(len(metric.head.names))
    cuttable = CuttableMetric(ExportedMetric(metric))
    with _quiet():
        program = torch.onnx.export(
            cuttable,
            examples,
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=cuttable.names(*examples),
            dynamic_shapes=(
                {0: references, 1: height, 2: width},
                {0: count, 1: height, 2: width},
                None,
            ),
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no model")
    _optimize(program.model)
    model = program.model_proto
    _square_by_multiplying(model)
    _strip(model)
    _keep_cuts(model)
    _name_shapes(model)
    _store_in_half(model)
    _forget_types(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _optimize(model: onnx_ir.Model) -> None:
    """Optimize a model in place, as the exporter itself would by default.

    The exporter would match all its rewrite rules at every node: one of them, for slices that are a
    split, takes nine tenths of the time, and finds none.
    """
    onnxscript.optimizer.inline(model)
    onnxscript.optimizer.fold_constants(model)
    for _ in range(ROUNDS):
        onnxscript.rewriter.rewrite(model, RULES)
        for step in (
            passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
            passes.DeduplicateInitializersPass(),
            passes.CommonSubexpressionEliminationPass(),
        ):
            step(model)
        onnxscript.optimizer.fold_constants(model)
    passes.RemoveUnusedNodesPass()(model)
    passes.OutputFixPass()(model)
    passes.NameFixPass()(model)


def _square_by_multiplying(model: onnx.ModelProto) -> None:
    """Replace x ** 2 with x * x, in place: the same numbers, in half of onnxruntime's time."""
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
    """Store large tensors in half precision where that is exact.

    The embedded metric's parameters are rounded to half precision. A node casts each tensor back
    to float32, which onnxruntime does once, when it loads the file.
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
    """Remove stack traces, paths and versions, which depend on this machine or change per run."""
    model.producer_name, model.producer_version, model.doc_string = "dps-toolkit", "", ""
    graph = model.graph
    graph.name = "metric"
    del model.metadata_props[:]
    for function in model.functions:
        del function.metadata_props[:]
    values = (*graph.value_info, *graph.input, *graph.output)
    for part in (graph, *graph.node, *values, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def _keep_cuts(model: onnx.ModelProto) -> None:
    """Turn the outputs at which the model can be cut into tensors between nodes, in place.

    Their types stay in the model. Names of their dimensions do not: a part of the model may run on
    tensors of other sizes than those that follow from its images.
    """
    graph = model.graph
    cuts = [value for value in graph.output if value.name.startswith(CUT)]
    for value in cuts:
        graph.output.remove(value)
        _forget_names(value)
    graph.value_info.extend(cuts)


def _forget_names(value: onnx.ValueInfoProto) -> None:
    """Remove the names of a tensor's variable dimensions, in place."""
    for dimension in value.type.tensor_type.shape.dim:
        if not dimension.HasField("dim_value"):
            dimension.Clear()


def _forget_types(model: onnx.ModelProto) -> None:
    """Keep the types of only those tensors at which the model is cut or split, in place.

    Runtimes find the types of others themselves; they would be a sixteenth of the file.
    """
    parts = split(read_model(model.SerializeToString()), SHARED)
    between = () if parts is None else parts.between
    kept = [v for v in model.graph.value_info if v.name.startswith(CUT) or v.name in between]
    if any(not value.type.tensor_type.HasField("shape") for value in kept):
        # The exporter leaves the shapes of some sizes open, without which a part is not valid.
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
        shapes = {value.name: value.type.tensor_type.shape for value in inferred}
        for value in kept:
            if not value.type.tensor_type.HasField("shape"):
                value.type.tensor_type.shape.CopyFrom(shapes[value.name])
                _forget_names(value)
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def _name_shapes(model: onnx.ModelProto) -> None:
    """Give the variable dimensions of inputs and outputs the contract's names."""
    names: dict[str, tuple[str | None, ...]] = {
        "reference": ("R", "H", "W", None),
        "distorted": ("N", "H", "W", None),
        IMPORTANCE: (None,),
        "map": ("N", "height", "width"),
        "cells": ("N", "rows", "columns", None),
    }
    for value in model.graph.output:
        names.setdefault(value.name, ("N",))
    for value in (*model.graph.input, *model.graph.output):
        for dimension, name in zip(value.type.tensor_type.shape.dim, names[value.name]):  # noqa: B905
            # Fixed sizes stay numbers.
            if name is not None and not dimension.HasField("dim_value"):
                dimension.dim_param = name


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's messages; its errors are still raised."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
