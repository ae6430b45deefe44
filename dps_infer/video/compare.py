"""Compare two videos frame by frame: distances over time, the worst frames, a summary."""

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
from dps_infer.compare.regions.gate import Gate
from dps_infer.compare.stream import BATCH_SIZE, PairSource, score
from dps_infer.compare.summary import Spread, Tally, Thresholds
from dps_infer.errors import ImageError
from dps_infer.files.tables import Columns, Kind
from dps_infer.images.ignored import Ignored
from dps_infer.progress import Progress, ignore
from dps_infer.video.frames import ClipPair, FramePair

FRAME, TIME = "frame", "time"
FRAME_COLUMNS: Columns = {**PAIR_COLUMNS, FRAME: Kind.integer, TIME: Kind.number}
"""The first columns of the results: number of the reference's frame, its time in seconds."""

PIXELS_A_BATCH = 1 << 24
"""Maximum pixels of the frames of one video in a batch: large frames make small batches."""


@dataclass(frozen=True)
class FrameScore:
    """The result of one pair of frames.

    Attributes:
        pair: the frames.
        comparisons: one per metric, by label.
    """

    pair: FramePair
    comparisons: dict[str, Comparison]


@dataclass(frozen=True)
class VideoScores:
    """The results of a whole video.

    Attributes:
        frames: number of compared pairs of frames.
        identical: number of pairs in which no pixel differs.
        times: time of each pair in seconds.
        distances: distance of each pair, by the label of the metric.
        spreads: spread of the distances, by the label of the metric.
        worst: the pairs with the largest distances by the first metric, the largest first.
        remark: an unexpected end of a video, in one line, or None.
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
    resize: bool = False,
    regions: Gate | None = None,
    ignored: Ignored | None = None,
    thresholds: Thresholds | None = None,
    worst: int = 5,
    escape_formulas: bool = False,
    progress: Progress = ignore,
) -> VideoScores:
    """Compare two videos frame by frame.

    Memory grows by a few numbers per frame; apart from that it does not depend on the length.

    Args:
        clips: the open videos.
        metrics: by label; the first one decides which frames are the worst.
        results: the table to write (`dps_infer.bulk.results`); its suffix decides the format.
        resize: resize frames of the candidate to the size of the reference's.
        regions: see `dps_infer.compare.stream.score`.
        ignored: parts to leave out of every frame.
        thresholds: largest accepted distances, by the label of the metric.
        worst: number of frames to keep.
        escape_formulas: see `dps_infer.files.tables.open_table`.
        progress: called with the number of compared pairs and the expected total.

    Raises:
        ImageError: there is no frame to compare, or one cannot be compared.
        ContextError, UsageError: as in `dps_infer.compare.stream.score`.
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
    with open_results(
        Path(results), metrics, input_columns=FRAME_COLUMNS, escape_formulas=escape_formulas
    ) as write:
        for scored in score(
            sources(),
            metrics,
            resize=resize,
            regions=regions,
            ignored=ignored,
            batch_size=max(1, min(BATCH_SIZE, PIXELS_A_BATCH // (width * height))),
            # Frames are decoded already: more threads gain nothing, and each takes memory.
            decoders=1,
        ):
            pair = waiting.popleft()
            if scored.error:
                raise ImageError(f"frame {pair.frame}: {scored.error}")
            values = row(scored.comparisons, metrics)
            write({**names, FRAME: pair.frame, TIME: pair.time, **values})
            times.append(pair.time)
            frame = FrameScore(pair, scored.comparisons)
            tally.add(frame, scored.comparisons, thresholds=thresholds)
            progress(len(times), max(expected, len(times)))
        if not times:
            raise ImageError(
                f"{names[REFERENCE]}, {names[CANDIDATE]}: no frame to compare: expected videos "
                "longer than the start time"
            )
    return VideoScores(
        frames=tally.compared,
        identical=tally.identical,
        times=times,
        distances=tally.distances,
        spreads=tally.spreads(),
        worst=tally.worst(),
        remark=clips.remark,
    )
