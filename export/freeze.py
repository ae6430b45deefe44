"""From a metric in PyTorch to one ONNX model: graph, names and metadata.

Opset 18, no external data, no custom operators; equal metrics give equal bytes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import nn

from dps_infer.manifest import METADATA_KEY, Manifest, encode_manifest
from dps_train.metric import Metric

OPSET = 18
"""Opset 19's Resize ran on the CPU only in CUDA builds until 2026 (microsoft/onnxruntime#27415)."""

INPUTS = ("reference", "distorted")
OUTPUTS = ("distance", "amounts", "map")

EXAMPLE_BATCH = 3
"""A batch of 1 would be baked into the graph."""

EXAMPLE_HEIGHT, EXAMPLE_WIDTH = 96, 80
"""Unequal, and no working size, so that nothing is taken for equal."""


def freeze(metric: Metric) -> onnx.ModelProto:
    """Return the metric as an ONNX model without a manifest.

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
            metric,
            (example, example.clone()),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=(
                {0: references, 1: height, 2: width},
                {0: count, 1: height, 2: width},
            ),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter gave no model")
    model = program.model_proto
    _strip(model)
    _name_shapes(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def embed_manifest(model: onnx.ModelProto, manifest: Manifest) -> bytes:
    """Return the model's bytes with the manifest in its metadata."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, encode_manifest(manifest)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


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
    names = {
        "reference": ("R", "H", "W", 3),
        "distorted": ("N", "H", "W", 3),
        "distance": ("N",),
        "amounts": ("N", None),
        "map": ("N", None, None),
    }
    for value in (*model.graph.input, *model.graph.output):
        for dimension, name in zip(
            value.type.tensor_type.shape.dim, names[value.name], strict=True
        ):
            if isinstance(name, str):
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
