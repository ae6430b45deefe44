"""Split an ONNX model in two: the part that depends on one input alone, and the rest.

When one reference is compared with many candidates, the features of the reference are the same
in every run. `Split.first` computes them once, and `Split.rest` continues from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dps_infer.graph.model import INPUT, NODE, OUTPUT, VALUE_INFO, GraphField, Model, needed_for


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
    nodes = [field for field in graph if field.number == NODE]
    cut = name.encode()
    alone, mixed = _followers(graph, cut)
    taken = {port for node in nodes if node.gives & mixed for port in node.takes}
    between = taken & alone
    outputs = {field.name for field in graph if field.number == OUTPUT}
    types: list[GraphField] = []
    others: list[GraphField] = []
    for field in graph:
        stated = field.number == VALUE_INFO and field.name in between
        (types if stated else others).append(field)
    if not between or outputs & alone or len(types) < len(between):
        return None
    rest = [
        field
        for field in others
        if not (field.number == NODE and field.gives & alone)
        and not (field.number == INPUT and field.name == cut and cut not in taken)
    ]
    first = [
        field
        for field in others
        if field.number != OUTPUT and not (field.number == INPUT and field.name != cut)
    ]
    first += [field.as_number(OUTPUT) for field in types]
    rest += [field.as_number(INPUT) for field in types]
    return Split(
        first=model.with_graph(needed_for(first, between)),
        between=tuple(field.name.decode() for field in types),
        rest=model.with_graph(needed_for(rest, outputs)),
        again=cut in taken,
    )


def _followers(graph: Sequence[GraphField], cut: bytes) -> tuple[set[bytes], set[bytes]]:
    """Return the tensors that depend on one input alone, and those that depend on others too."""
    alone = set[bytes]()
    mixed = {field.name for field in graph if field.number == INPUT and field.name != cut}
    for field in graph:
        if field.number != NODE:
            continue
        if field.takes & mixed:
            mixed |= field.gives
        elif field.takes & (alone | {cut}):
            alone |= field.gives
    return alone, mixed
