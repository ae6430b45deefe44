"""Compare two large images in bands of cell rows, so that memory grows little with their size.

A graph that names the tensors below can be cut there (`dps_infer.graph.cut`) into five parts,
which run one after another. Two of them run once for each band; what they give for the bands is
put together along the rows. Every formula stays in the graph: here, rows are cut and put together.

1. `DETAILS` of a band of both images: what needs the images' own resolution, and what narrows them.
2. `MOTION` between the narrowed images, and `POSITIONS` of the places that are compared.
3. `SAMPLES`: where the places of a band lie in both images.
4. `STATISTICS` of a band, from the parts of both images in which these places lie.
5. The outputs, from everything above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dps_infer.errors import ContextError
from dps_infer.graph.cut import cut, inputs_of
from dps_infer.graph.model import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

CUT = "cut."
"""What the names of the tensors at which a graph can be cut begin with."""

REFERENCE, DISTORTED = "reference", "distorted"


def _named(*names: str) -> tuple[str, ...]:
    return tuple(f"{CUT}{name}" for name in names)


DOWN, PIXELS, PLACES = _named("down", "pixels", "places")

DETAILS = _named(
    *(
        f"{name}.{image}"
        for name in ("columns", "gray", "fine")
        for image in (REFERENCE, DISTORTED)
    ),
    "fine_products",
    "plain",
)
"""Tensors [1, C, rows, ...] of a band."""

MOTION = _named("matrix", "shift", "local", "before", "after", "inside")

POSITIONS = (DOWN, *_named("across", "half"))
"""Positions [32 * rows + 1] down and [32 * columns + 1] across, and half of the extent."""

SAMPLES = (PIXELS, *_named("shown"))
"""Places [2, 2, h, w] in both images, across and down, in pixels of half the resolution; and
whether both images show them."""

STATISTICS = (PLACES, *_named("covered", "level0", "level1", "level2", "level3"))
"""Tensors [1, C, rows, columns] of a band; the first has `PLACES_PER_CELL` rows a cell."""

CELL = 64
"""Side of a cell in pixels."""

HALF_CELL = CELL // 2
"""Positions a cell."""

PLACES_PER_CELL = 8

FEWEST_ROWS = 4
"""Cell rows of a band of `DETAILS`. With fewer, onnxruntime shares the matrix products that narrow
images among its threads in another way than for whole images, which rounds differently."""

MARGIN = 8
"""Positions below a band that are computed with it: gradients at a place read the next one, and
the coarsest ones take 8 positions a place. At the border of the images, they repeat the last."""

Arrays = Mapping[str, "NDArray[Any]"]
Compute = Callable[[Any, tuple[str, ...], Arrays, bool], "dict[str, NDArray[Any]]"]
"""Runs a session: it, its outputs, its inputs, and whether it keeps its memory for another run."""


@dataclass(frozen=True)
class _Part:
    """A part of the graph: its session, and the names of its inputs and outputs."""

    session: Any
    takes: set[str]
    gives: tuple[str, ...]


class BandedRun:
    """The parts of a model, opened in onnxruntime."""

    def __init__(self, parts: Sequence[_Part], compute: Compute) -> None:
        """Store the arguments; `open_banded` makes them.

        Args:
            parts: in the order in which they run.
            compute: see `Compute`.
        """
        self._details, self._motion, self._samples, self._statistics, self._rest = parts
        self._compute = compute

    def run(self, feeds: Arrays, band_pixels: int) -> dict[str, NDArray[Any]]:
        """Compare pairs of images, one after another.

        Args:
            feeds: the model's inputs by name.
            band_pixels: pixels of a band, about.

        Returns:
            The outputs by name.

        Raises:
            ContextError: onnxruntime failed, or the parts do not fit together.
        """
        import numpy as np

        reference, distorted = feeds[REFERENCE], feeds[DISTORTED]
        found = []
        for row in range(len(distorted)):
            own = min(row, len(reference) - 1)
            pair = {REFERENCE: reference[own : own + 1], DISTORTED: distorted[row : row + 1]}
            try:
                found.append(self._run_pair({**feeds, **pair}, band_pixels))
            # A tensor of a file from anyone may have any shape.
            except (IndexError, ValueError) as error:
                raise ContextError(
                    f"cannot compare images in bands ({error}): export the context again"
                ) from error
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}

    def _run_pair(self, feeds: Arrays, band_pixels: int) -> dict[str, NDArray[Any]]:
        _, height, width, _ = feeds[DISTORTED].shape
        rows = -(-height // CELL)
        step = max(1, band_pixels // (CELL * width))
        known = _joined(
            self._run(self._details, _rows(feeds, start * CELL, stop * CELL), keep=stop < rows)
            for start, stop in _bands(rows, max(step, FEWEST_ROWS))
        )
        known.update(self._run(self._motion, {**feeds, **known}))
        known.update(
            _joined(
                self._statistics_of(feeds, known, start, stop, rows)
                for start, stop in _bands(rows, step)
            )
        )
        return self._run(self._rest, {**feeds, **known})

    def _statistics_of(
        self, feeds: Arrays, known: Arrays, start: int, stop: int, rows: int
    ) -> dict[str, NDArray[Any]]:
        """Return the statistics of the cell rows from `start` to `stop` of `rows`."""
        import numpy as np

        end = stop * HALF_CELL + 1 + (MARGIN if stop < rows else 0)
        window = {DOWN: known[DOWN][start * HALF_CELL : end]}
        samples = self._run(self._samples, {**feeds, **known, **window})
        down = samples[PIXELS][:, 1]
        # Places beyond the border read the border.
        last = rows * HALF_CELL - 1
        top, bottom = (
            int(np.clip(np.nan_to_num(place), 0, last)) for place in (down.min(), down.max())
        )
        first = top // HALF_CELL
        # The row below is read as well.
        shown = _rows(feeds, first * CELL, ((bottom + 1) // HALF_CELL + 1) * CELL)
        down -= first * HALF_CELL
        found = self._run(self._statistics, {**shown, **samples}, keep=stop < rows)
        return {
            name: values[:, :, : (stop - start) * (PLACES_PER_CELL if name == PLACES else 1)]
            for name, values in found.items()
        }

    def _run(self, part: _Part, feeds: Arrays, *, keep: bool = False) -> dict[str, NDArray[Any]]:
        given = {name: feed for name, feed in feeds.items() if name in part.takes}
        return self._compute(part.session, part.gives, given, keep)


def open_banded(
    model: Model, fetches: tuple[str, ...], opener: Callable[[bytes], Any], compute: Compute
) -> BandedRun | None:
    """Cut a model into its parts, and open them.

    Args:
        model: the whole model.
        fetches: the outputs to compute.
        opener: opens a session of a serialized model.
        compute: see `Compute`.

    Returns:
        None if the model cannot be cut.
    """
    known = (*DETAILS, *MOTION, *POSITIONS)
    parts = []
    for given, gives in (
        ((), DETAILS),
        (DETAILS, (*MOTION, *POSITIONS)),
        (known, SAMPLES),
        (SAMPLES, STATISTICS),
        ((*known, *STATISTICS), fetches),
    ):
        part = cut(model, given, gives)
        if part is None:
            return None
        parts.append((part, gives))
    return BandedRun(
        [_Part(opener(part.data), inputs_of(part), gives) for part, gives in parts], compute
    )


def _bands(rows: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield the first cell row of each band, and the one behind its last.

    All bands have at least `step` rows, unless there are fewer.
    """
    count = max(1, rows // step)
    for band in range(count):
        yield band * rows // count, (band + 1) * rows // count


def _rows(feeds: Arrays, start: int, stop: int) -> dict[str, NDArray[Any]]:
    """Return both images' rows of pixels from `start` to `stop`."""
    return {name: feeds[name][:, start:stop] for name in (REFERENCE, DISTORTED)}


def _joined(bands: Iterator[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Put tensors [1, C, rows, ...] of bands together along the rows."""
    import numpy as np

    found = list(bands)
    return {name: np.concatenate([band[name] for band in found], axis=2) for name in found[0]}
