"""What the graph of a context file may hold, so that running it ends and its memory is bounded.

No operator loops, every operator is one of `OPERATORS`, and no constant makes a small tensor large.
Sizes that follow from the images are not known here: `dps_infer.runtime.engine` bounds the memory
of a run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from dps_infer.errors import ContextError

MAX_NODES = 20_000
"""About ten times as many as large networks have."""

MAX_ELEMENTS = 1 << 26
"""Elements of a tensor that is computed from constants, or expanded to a constant shape."""

MAX_VALUES = 64
"""Elements of a tensor whose values are read: it may be the shape of another one."""

OPERATORS = frozenset(
    b"""
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
    Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos
    Cosh CumSum DepthToSpace DequantizeLinear Div DynamicQuantizeLinear Einsum Elu Equal Erf Exp
    Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool
    Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity
    InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg Not Or PRelu Pad Pow QLinearConv QLinearMatMul
    QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round
    ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign
    SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu
    Unsqueeze Where Xor
    """.split()
)
"""The operators of networks for images, and of arithmetic. None loops, draws random numbers, or
holds a graph, a sequence or a text."""

_KEEPS_VALUES = frozenset([b"Cast", b"Identity", b"Reshape", b"Squeeze", b"Unsqueeze"])

_KEEPS_SIZE = frozenset([b"DequantizeLinear", b"QuantizeLinear"])
"""Operators whose output has as many elements as their first input, whatever the others have."""

_GROWS_BY = {b"ConstantOfShape": 0, b"Expand": 1, b"Tile": 1}
"""Operators whose output has as many elements as the product of an input's values states: the
place of that input."""

_GROWS_OTHERWISE = frozenset(
    b"AveragePool Conv ConvInteger ConvTranspose GridSample LpPool MaxPool Pad QLinearConv".split()
)
"""Operators whose output may be larger than the product of the sizes of their inputs."""


class Constant(NamedTuple):
    """A tensor that does not depend on the images.

    Attributes:
        elements: number of elements, at most.
        values: of a small tensor; None if they are not known.
    """

    elements: int
    values: tuple[float, ...] | None = None


class Node(NamedTuple):
    """An operator with the names of its inputs, empty where one is left out, and of its outputs.

    Attributes:
        operator: its type.
        takes: the names of its inputs in their order; empty for one that is left out.
        gives: the names of its outputs.
        value: the last of its attributes, which is the tensor of ``Constant``.
    """

    operator: bytes
    takes: Sequence[bytes]
    gives: Sequence[bytes]
    value: Constant


def check_limits(nodes: Sequence[Node], constants: dict[bytes, Constant]) -> None:
    """Refuse a graph that could run for ever, or take memory out of proportion.

    Args:
        nodes: in an order in which they can run.
        constants: the tensors of the graph by name.

    Raises:
        ContextError: it has too many nodes, an operator that is none of `OPERATORS`, or expands a
            constant beyond `MAX_ELEMENTS`. It does not name the file.
    """
    if len(nodes) > MAX_NODES:
        raise _refused(f"has {len(nodes)} operators, expected at most {MAX_NODES}")
    known = dict(constants)
    for node in nodes:
        if node.operator not in OPERATORS:
            raise _refused(f"needs the operator {_name(node)}, which no context file has")
        taken = [known.get(name) for name in node.takes if name]
        inputs = [constant for constant in taken if constant is not None]
        factor = _factor(node, known)
        if factor > MAX_ELEMENTS:
            raise _too_large(node, factor)
        if len(inputs) < len(taken):
            continue
        # The output does not depend on the images.
        output = _output(node, inputs, factor)
        if output.elements > MAX_ELEMENTS:
            raise _too_large(node, output.elements)
        known.update(dict.fromkeys(node.gives, output))


def _factor(node: Node, known: dict[bytes, Constant]) -> float:
    """Return how many times larger than its first input the output of a node is, if it is known."""
    place = _GROWS_BY.get(node.operator)
    if node.operator == b"Resize":
        # The last input is the scales or the sizes.
        place = len(node.takes) - 1
    elif node.operator == b"Range":
        bounds = [_values(node, known, number) for number in range(3)]
        if None in bounds:
            return 1
        start, stop, step = (bound[0] for bound in bounds if bound)
        return math.inf if step == 0 else max(0.0, (stop - start) / step)
    if place is None:
        return 1
    values = _values(node, known, place)
    return 1 if values is None else math.prod(abs(value) for value in values)


def _values(node: Node, known: dict[bytes, Constant], place: int) -> tuple[float, ...] | None:
    """Return the values of an input; None if it depends on the images.

    Raises:
        ContextError: it does not, but its values are not known.
    """
    constant = known.get(node.takes[place]) if place < len(node.takes) else None
    if constant is None:
        return None
    if constant.values is None or not all(map(math.isfinite, constant.values)):
        raise _refused(f"has a node {_name(node)} whose size cannot be checked")
    return constant.values


def _output(node: Node, inputs: Sequence[Constant], factor: float) -> Constant:
    """Return the size of a node's output, all of whose inputs are constants."""
    operator = node.operator
    if operator == b"Constant":
        return node.value
    if operator in _GROWS_OTHERWISE:
        raise _refused(f"has a node {_name(node)} of constants alone")
    if operator in _KEEPS_VALUES and inputs:
        return inputs[0]
    if operator in _KEEPS_SIZE and inputs:
        return Constant(inputs[0].elements)
    if operator == b"Concat":
        parts = [constant.values for constant in inputs]
        values = [value for part in parts if part is not None for value in part]
        complete = None not in parts and len(values) <= MAX_VALUES
        elements = sum(constant.elements for constant in inputs)
        return Constant(elements, tuple(values) if complete else None)
    if operator in (b"ConstantOfShape", b"Range"):
        return Constant(math.ceil(factor))
    size = math.prod(constant.elements for constant in inputs)
    return Constant(math.ceil(size * factor) if operator in _GROWS_BY else size)


def _too_large(node: Node, elements: float) -> ContextError:
    return _refused(
        f"has a node {_name(node)} of {elements:.3g} elements, expected at most {MAX_ELEMENTS}"
    )


def _name(node: Node) -> str:
    # It may be anything, and must not end the line.
    return ascii(node.operator.decode(errors="replace"))[1:-1][:100]


def _refused(what: str) -> ContextError:
    return ContextError(f"{what}: export the context again")
