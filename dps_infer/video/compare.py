"""Compare two videos frame by frame, and keep the series, the worst frames and a summary."""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dps_infer.bulk.results import CANDIDATE, PAIR_COLUMNS, REFERENCE, open_results, row
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.compare.stream import BATCH_SIZE, PairSource, score
from dps_infer.compare.summary import Spread, Tally, Thresholds
from dps_infer.errors import ImageError
from dps_infer.files.tables import Columns, Kind
from dps_infer.model.view import View
from dps_infer.progress import Progress, ignore
from dps_infer.video.frames import ClipPair, FramePair

FRAME, TIME = "frame", "time"
FRAME_COLUMNS: Columns = {**PAIR_COLUMNS, FRAME: Kind.integer, TIME: Kind.number}
"""What comes first in the results: a frame of the reference, and its time in seconds."""

PIXELS_A_BATCH = 1 << 24
"""Of large frames fewer are held at a time."""


@dataclass(frozen=True)
class FrameScore:
    """What became of one pair of frames.

    Attributes:
        pair: the frames.
        comparisons: by the contexts' labels.
    """

    pair: FramePair
    comparisons: dict[str, Comparison]


@dataclass(frozen=True)
class VideoScores:
    """What all frames came to.

    Attributes:
        frames: pairs of frames that were compared.
        identical: in how many of them no pixel differs.
        times: of each in seconds.
        distances: of each, by the contexts' labels.
        spreads: of the distances, by the contexts' labels.
        worst: the frames with the largest distances in the first context, the largest first.
        remark: what is wrong with the ends of the videos, in one line, or None.
    """

    frames: int
    identical: int
    times: array[float]
    distances: dict[str, array[float]]
    spreads: dict[str, Spread]
    worst: tuple[FrameScore, ...]
    remark: str | None


def compare_videos(
    clips: ClipPair,
    metrics: Mapping[str, Metric],
    results: str | os.PathLike[str],
    *,
    view: View | str | None = None,
    resize: bool = False,
    thresholds: Thresholds | None = None,
    worst: int = 5,
    progress: Progress = ignore,
) -> VideoScores:
    """Compare two videos, in memory that does not follow their length, but for the series.

    Args:
        clips: the open videos.
        metrics: by label.
        results: a file for the rows (`dps_infer.bulk.results`), told by its suffix.
        view: as in `Metric.compare`.
        resize: resize frames of the candidate to the size of the reference's.
        thresholds: by label.
        worst: how many frames to keep.
        progress: is told how many pairs are compared, and of how many as far as is known.

    Raises:
        ImageError: there is no frame to compare, or one cannot be compared.
        ContextError: as in `dps_infer.compare.stream.score`.
        UsageError: as there.
        OutputError: `results` cannot be written.
    """
    waiting: deque[FramePair] = deque()

    def sources() -> Iterator[PairSource]:
        for pair in clips:
            waiting.append(pair)
            yield pair.reference, pair.candidate

    names = {REFERENCE: str(clips.reference.path), CANDIDATE: str(clips.candidate.path)}
    width, height = clips.reference.size
    times, expected = array("d"), clips.expected()
    tally: Tally[FrameScore] = Tally(metrics, worst=worst)
    with open_results(Path(results), metrics, input_columns=FRAME_COLUMNS) as write:
        for scored in score(
            sources(),
            metrics,
            view=view,
            resize=resize,
            batch_size=max(1, min(BATCH_SIZE, PIXELS_A_BATCH // (width * height))),
            # Frames come decoded. More threads gain nothing, and each keeps memory of its own.
            decoders=1,
        ):
            pair = waiting.popleft()
            if scored.error:
                raise ImageError(f"frame {pair.frame}: {scored.error}")
            values = row(scored.comparisons, metrics)
            write({**names, FRAME: pair.frame, TIME: pair.time, **values})
            times.append(pair.time)
            tally.add(FrameScore(pair, scored.comparisons), scored.comparisons)
            progress(len(times), max(expected, len(times)))
        if not times:
            raise ImageError(
                f"{names[REFERENCE]}, {names[CANDIDATE]}: no frame to compare: expected videos "
                "that go on after the start that is asked for"
            )
    return VideoScores(
        frames=tally.compared,
        identical=tally.identical,
        times=times,
        distances=tally.distances,
        spreads=tally.spreads(thresholds or {}),
        worst=tally.worst(),
        remark=clips.remark,
    )
