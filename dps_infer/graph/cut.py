"""Cut a part out of an ONNX model: from some of its tensors to others."""

from __future__ import annotations

from collections.abc import Iterable

from dps_infer.graph.model import INPUT, NODE, OUTPUT, VALUE_INFO, GraphField, Model, needed_for


def cut(model: Model, given: Iterable[str], fetches: Iterable[str]) -> Model | None:
    """Return the part of a model that computes some tensors from others.

    The part takes the inputs of the model that it still needs, beside the given tensors. It states
    no types of tensors between its nodes: given tensors may have other sizes than in the whole
    model, which the names of their dimensions there would contradict.

    Args:
        model: the whole model.
        given: names of tensors between nodes that become inputs.
        fetches: names of outputs, or of tensors between nodes, that the part gives.

    Returns:
        None if the model does not state the type of one of the tensors, or if a node gives one of
        the given tensors together with another that is needed.
    """
    starts, ends = ({name.encode() for name in names} for names in (given, fetches))
    kept: list[GraphField] = []
    stated, lost = set[bytes](), set[bytes]()
    for field in model.graph:
        if field.number == VALUE_INFO:
            for names, number in ((starts, INPUT), (ends, OUTPUT)):
                if field.name in names:
                    kept.append(field.as_number(number))
                    stated.add(field.name)
        elif field.number == NODE and not field.gives.isdisjoint(starts):
            lost |= field.gives - starts
        else:
            kept.append(field)
            if field.number == OUTPUT:
                stated.add(field.name)
    needed = needed_for(kept, ends)
    taken = {name for field in needed if field.number == NODE for name in field.takes}
    if not starts | ends <= stated or not lost.isdisjoint(taken | ends):
        return None
    return model.with_graph(
        [field for field in needed if field.number != INPUT or field.name in taken]
    )


def inputs_of(model: Model) -> set[str]:
    """Return the names of a model's inputs."""
    return {field.name.decode() for field in model.graph if field.number == INPUT}
