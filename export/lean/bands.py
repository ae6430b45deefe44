"""Lay out a graph so that it compares images in bands, and large ones take less memory.

`dps_infer.runtime.bands` runs parts of a graph once for each band of rows. Here, the same parts are
copied into one graph, once for each of `BANDS` bands, so that any runtime compares images like
that. The first row of a band follows from the rows that the band before it gave: no runtime can
start a band before the one above is done, and its memory is free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dps_infer.graph.cut import cut, inputs_of
from dps_infer.graph.model import Model, read_model
from dps_infer.runtime.bands import (
    CELL,
    CUT,
    DETAILS,
    DISTORTED,
    DOWN,
    HALF_CELL,
    MARGIN,
    MOTION,
    PIXELS,
    PLACES,
    PLACES_PER_CELL,
    POSITIONS,
    REFERENCE,
    SAMPLES,
    STATISTICS,
)

BANDS = 6
"""More would take less memory, and more time: small images run through every band as well."""

ROWS_PER_CELL = {
    f"{CUT}columns.{REFERENCE}": CELL,
    f"{CUT}columns.{DISTORTED}": CELL,
    f"{CUT}gray.{REFERENCE}": HALF_CELL,
    f"{CUT}gray.{DISTORTED}": HALF_CELL,
    PLACES: PLACES_PER_CELL,
}
"""Rows of the tensors of a band for each row of cells; 1 where not listed."""


def in_bands(model: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto | None:
    """Return a model that computes the same outputs in bands.

    Args:
        model: the whole model.
        outputs: the names of the outputs to give.

    Returns:
        None if the model names no tensors at which it can be cut.
    """
    whole = read_model(model.SerializeToString())
    known = (*DETAILS, *MOTION, *POSITIONS)
    rest = cut(whole, (*known, *STATISTICS), outputs)
    if rest is None:
        return None
    statistics = _needed(STATISTICS, rest)
    estimate = cut(whole, DETAILS, (*MOTION, *POSITIONS))
    samples = cut(whole, known, SAMPLES)
    places = cut(whole, SAMPLES, statistics)
    if estimate is None or samples is None or places is None:
        return None
    details = _needed(DETAILS, rest, estimate)
    first = cut(whole, (), details)
    if first is None:
        return None

    graph = _Graph(model)
    rows, start = graph.rows(), graph.constant(0)
    found: dict[str, list[str]] = {name: [] for name in (*details, *statistics)}
    for band in range(BANDS):
        end = graph.end(rows, band, start)
        shown = graph.slices((REFERENCE, DISTORTED), start, end, CELL, axis=1)
        copy = graph.band(f"d{band}.", first, shown)
        start = graph.give(copy, details, start, end, found)
    for name in details:
        graph.add("Concat", found[name], axis=2, name=name)
    graph.once(estimate)
    # As many rows as were given: the last band is done before the first of the next ones starts.
    rows, start = start, graph.constant(0)
    for band in range(BANDS):
        end = graph.end(rows, band, start)
        down = graph.slices((DOWN,), start, end, HALF_CELL, axis=0, beyond=1 + MARGIN)
        at = graph.band(f"p{band}.", samples, down)
        shown = graph.window(at[PIXELS], rows)
        copy = graph.band(f"s{band}.", places, {**at, **shown})
        start = graph.give(copy, statistics, start, end, found)
    for name in statistics:
        graph.add("Concat", found[name], axis=2, name=name)
    graph.once(rest)
    return graph.model(outputs)


def _needed(names: Iterable[str], *parts: Model) -> tuple[str, ...]:
    """Return the names of those tensors that one of the parts takes."""
    taken = set[str]().union(*(inputs_of(part) for part in parts))
    return tuple(name for name in names if name in taken)


class _Graph:
    """The graph that is being laid out; every method adds nodes and returns names of tensors."""

    def __init__(self, origin: onnx.ModelProto) -> None:
        self._origin = origin
        self._nodes: list[onnx.NodeProto] = []
        self._given = {port.name for port in origin.graph.input}
        self._computed = set[str]()
        self._constants: dict[tuple[int, ...], onnx.TensorProto] = {}
        self._tensors = {tensor.name: tensor for tensor in origin.graph.initializer}

    def model(self, outputs: Sequence[str]) -> onnx.ModelProto:
        """Return the model with the named outputs of the origin."""
        model = onnx.ModelProto()
        model.CopyFrom(self._origin)
        graph = model.graph
        ports = {port.name: port for port in self._origin.graph.output}
        taken = {name for node in self._nodes for name in node.input}
        kept = [*self._tensors.values(), *self._constants.values()]
        for field, values in (
            (graph.node, self._nodes),
            (graph.output, [ports[name] for name in outputs]),
            (graph.initializer, [tensor for tensor in kept if tensor.name in taken]),
            (graph.value_info, []),
        ):
            del field[:]
            field.extend(values)
        return model

    def add(
        self, operator: str, inputs: Sequence[str], *, name: str = "", **attributes: Any
    ) -> str:
        """Add a node of one output."""
        output = name or f"band.{len(self._nodes)}"
        node = helper.make_node(operator, inputs, [output], name=output, **attributes)
        self._nodes.append(node)
        return output

    def constant(self, *values: int) -> str:
        """Return a constant of whole numbers [len(values)]."""
        if values not in self._constants:
            name = "band.constant." + "_".join(map(str, values))
            self._constants[values] = numpy_helper.from_array(np.array(values, np.int64), name)
        return self._constants[values].name

    def times(self, rows: str, factor: int, more: int = 0) -> str:
        """Return rows of cells as rows of another tensor, and some more."""
        product = rows if factor == 1 else self.add("Mul", [rows, self.constant(factor)])
        return product if not more else self.add("Add", [product, self.constant(more)])

    def rows(self) -> str:
        """Return the number of rows of cells of the images."""
        height = self.add("Shape", [DISTORTED], start=1, end=2)
        return self.add("Div", [self.times(height, 1, CELL - 1), self.constant(CELL)])

    def end(self, rows: str, band: int, start: str) -> str:
        """Return the row of cells below a band, which may have none."""
        if band == BANDS - 1:
            return rows
        below = self.add("Div", [self.times(rows, band + 1), self.constant(BANDS)])
        return self.add("Max", [below, start])

    def slices(
        self, names: Iterable[str], start: str, end: str, factor: int, *, axis: int, beyond: int = 0
    ) -> dict[str, str]:
        """Return rows of tensors, of one row of cells at least: no operator takes less."""
        last = self.add("Max", [end, self.times(start, 1, 1)])
        bounds = [self.times(start, factor), self.times(last, factor, beyond), self.constant(axis)]
        return {name: self.add("Slice", [name, *bounds]) for name in names}

    def window(self, pixels: str, rows: str) -> dict[str, str]:
        """Return the parts of both images in which places lie, and the places in these parts."""
        down = self.add("Gather", [pixels, self.constant(1)], axis=1)
        first, last = (
            self.add("Cast", [self.add(operator, [down], keepdims=0)], to=TensorProto.INT64)
            for operator in ("ReduceMin", "ReduceMax")
        )
        # Places beyond the border read the border.
        lowest = self.times(self.times(rows, HALF_CELL), 1, -1)
        first, last = (
            self.add("Min", [self.add("Max", [row, self.constant(0)]), lowest])
            for row in (first, last)
        )
        start = self.add("Div", [first, self.constant(HALF_CELL)])
        # The row below is read as well.
        end = self.times(self.add("Div", [self.times(last, 1, 1), self.constant(HALF_CELL)]), 1, 1)
        shown = self.slices((REFERENCE, DISTORTED), start, end, CELL, axis=1)
        above = self.add("Concat", [self.constant(0), self.times(start, HALF_CELL)], axis=0)
        moved = self.add("Cast", [above], to=TensorProto.FLOAT)
        moved = self.add("Unsqueeze", [moved, self.constant(1, 2)])
        return {**shown, PIXELS: self.add("Sub", [pixels, moved])}

    def give(
        self,
        copy: dict[str, str],
        names: Sequence[str],
        start: str,
        end: str,
        found: dict[str, list[str]],
    ) -> str:
        """Note what a band gives, without what it read below, and return its last row of cells."""
        count = self.add("Sub", [end, start])
        done = []
        for name in names:
            factor = ROWS_PER_CELL.get(name, 1)
            bounds = [self.constant(0), self.times(count, factor), self.constant(2)]
            own = self.add("Slice", [copy[name], *bounds])
            found[name].append(own)
            height = self.add("Shape", [own], start=2, end=3)
            done.append(self.add("Div", [height, self.constant(factor)]))
        return self.add("Add", [start, self.add("Max", done)])

    def band(self, prefix: str, part: Model, given: dict[str, str]) -> dict[str, str]:
        """Add a part once more, and return what its tensors are called here.

        Args:
            prefix: of the names of its tensors.
            part: the part.
            given: tensors that take the place of others.
        """
        names = dict(given)
        for node in _nodes_of(part):
            if not any(name in names for name in node.input):
                # The same in every band.
                self._append(node)
                continue
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            names.update({name: f"{prefix}{name}" for name in node.output})
            _rename(copy, names)
            self._nodes.append(copy)
        return names

    def once(self, part: Model) -> None:
        """Add a part as it is."""
        for node in _nodes_of(part):
            self._append(node)

    def _append(self, node: onnx.NodeProto) -> None:
        if node.output[0] not in self._computed:
            self._computed.update(node.output)
            self._nodes.append(node)


def _nodes_of(part: Model) -> Iterable[onnx.NodeProto]:
    return list(onnx.load_model_from_string(part.data).graph.node)


def _rename(node: onnx.NodeProto, names: dict[str, str]) -> None:
    for ports in (node.input, node.output):
        renamed = [names.get(name, name) for name in ports]
        del ports[:]
        ports.extend(renamed)
    if node.name:
        node.name = node.output[0]
