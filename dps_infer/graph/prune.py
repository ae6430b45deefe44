"""Cut an ONNX model down to some of its outputs.

onnxruntime's inference builds compute every output of a model, fetched or not (the option
``only_execute_path_to_fetches`` works in training builds only). A view that nobody looks
at would cost time, and on large images memory. So nodes that no wanted output needs are
left out before the model is loaded; everything else is copied byte by byte.
"""

from __future__ import annotations

from collections.abc import Sequence

from dps_infer.graph.protobuf import NODE, OUTPUT, TENSOR, VALUE, Field, Model


def prune(model: Model, outputs: Sequence[str]) -> Model:
    """Return a model that gives some of the outputs only.

    Args:
        model: already checked by `dps_infer.graph.safety`.
        outputs: names of those to keep; all must be there.

    Returns:
        The smaller model; the same one if it has nodes with graphs inside them, whose needs
        are not looked into.
    """
    if any(field.number == NODE and field.holds_graph for field in model.graph):
        return model
    return model.with_graph(needed_for(model.graph, {name.encode() for name in outputs}))


def needed_for(graph: list[Field], outputs: set[bytes]) -> list[Field]:
    """Return the fields of a graph that give some of its outputs, and these outputs alone."""
    needed = set(outputs)
    kept: set[int] = set()
    # Nodes stand in an order in which they can run: from the last one back, each is either
    # needed by one that was met already or by none.
    for index in range(len(graph) - 1, -1, -1):
        if graph[index].number == NODE and graph[index].gives & needed:
            kept.add(index)
            needed |= graph[index].takes
    wanted = {TENSOR: needed, OUTPUT: outputs, VALUE: needed}
    return [
        field
        for index, field in enumerate(graph)
        if (
            index in kept
            if field.number == NODE
            else field.number not in wanted or field.name in wanted[field.number]
        )
    ]
