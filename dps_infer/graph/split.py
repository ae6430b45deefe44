"""Split an ONNX model in two: the part that depends on one input alone, and the rest.

When one reference is compared with many candidates, the features of the reference are the same
in every run. `Split.first` computes them once, and `Split.rest` continues from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dps_infer.graph.cut import cut, inputs_of
from dps_infer.graph.model import INPUT, NODE, OUTPUT, GraphField, Model


@dataclass(frozen=True)
class Split:
    """A model in two parts.

    Attributes:
        first: takes the one input, and gives the tensors that the rest needs from it.
        between: the names of these tensors.
        rest: takes `between` and the other inputs, and gives the model's outputs.
        again: whether the rest takes the one input as well.
    """

    first: Model
    between: tuple[str, ...]
    rest: Model
    again: bool


def split(model: Model, name: str) -> Split | None:
    """Split a model at an input.

    Args:
        model: the whole model.
        name: the name of the input.

    Returns:
        Two models that share no node but those that depend on no input. None if no node
        depends on the input alone, if an output does, or if the model does not state the type of
        a tensor between the two.
    """
    graph = model.graph
    alone, mixed = _followers(graph, name.encode())
    taken = {
        port
        for field in graph
        if field.number == NODE and field.gives & mixed
        for port in field.takes
    }
    outputs = [field.name.decode() for field in graph if field.number == OUTPUT]
    between = tuple(sorted(port.decode() for port in taken & alone))
    first, rest = cut(model, (), between), cut(model, between, outputs)
    if not between or not alone.isdisjoint(map(str.encode, outputs)) or not first or not rest:
        return None
    return Split(first, between, rest, again=name in inputs_of(rest))


def _followers(graph: Sequence[GraphField], own: bytes) -> tuple[set[bytes], set[bytes]]:
    """Return the tensors that depend on one input alone, and those that depend on others too."""
    alone = set[bytes]()
    mixed = {field.name for field in graph if field.number == INPUT and field.name != own}
    for field in graph:
        if field.number != NODE:
            continue
        if field.takes & mixed:
            mixed |= field.gives
        elif field.takes & (alone | {own}):
            alone |= field.gives
    return alone, mixed
