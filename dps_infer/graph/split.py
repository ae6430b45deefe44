"""Cut an ONNX model in two: what follows from one input alone, and all else.

Of one reference with many candidates, what a graph makes of the reference is the same in every
run. `Split.first` computes it once, and `Split.rest` takes it from there.
"""

from __future__ import annotations

from dataclasses import dataclass

from dps_infer.graph.protobuf import INPUT, NODE, OUTPUT, VALUE, Field, Model
from dps_infer.graph.prune import needed_for


@dataclass(frozen=True)
class Split:
    """A model in two.

    Attributes:
        first: takes the one input, and gives what the rest needs of it.
        between: the names of that.
        rest: takes `between` and the other inputs, and gives the model's outputs.
        again: whether the rest takes the one input as well.
    """

    first: Model
    between: tuple[str, ...]
    rest: Model
    again: bool


def split(model: Model, name: str) -> Split | None:
    """Cut a model at an input.

    Args:
        model: already checked by `dps_infer.graph.safety`.
        name: of the input.

    Returns:
        Two models that have no node in common but those that follow from no input. None where
        nothing follows from the input alone, an output does, the model does not tell the type
        of something between the two, or nodes have graphs inside them.
    """
    graph = model.graph
    nodes = [field for field in graph if field.number == NODE]
    if any(node.holds_graph for node in nodes):
        return None
    cut = name.encode()
    alone, mixed = _followers(graph, cut)
    taken = {port for node in nodes if node.gives & mixed for port in node.takes}
    between = taken & alone
    outputs = {field.name for field in graph if field.number == OUTPUT}
    types: list[Field] = []
    others: list[Field] = []
    for field in graph:
        told = field.number == VALUE and field.name in between
        (types if told else others).append(field)
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


def _followers(graph: list[Field], cut: bytes) -> tuple[set[bytes], set[bytes]]:
    """Return what nodes make of an input alone, and what they make of others (as well)."""
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
