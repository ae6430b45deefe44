"""Pair the frames of two videos by their own times."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from dps_infer.arrays import Pixels
from dps_infer.errors import ImageError, UsageError
from dps_infer.video.clip import EPSILON, Clip, Frame
from dps_infer.video.open import open_clip


@dataclass(frozen=True)
class Sampling:
    """The frames to compare.

    Attributes:
        every: compare every n-th frame; the videos need equal frame rates.
        fps: compare this many frames per second instead, whatever the videos' frame rates.
        start: start time in seconds.
        duration: in seconds; None for the whole rest.
    """

    every: int | None = None
    fps: float | None = None
    start: float = 0.0
    duration: float | None = None

    def __post_init__(self) -> None:
        """Reject invalid values."""
        if self.every is not None and self.fps is not None:
            raise UsageError("expected --every or --fps, got both")
        if self.every is not None and self.every < 1:
            raise UsageError(f"expected --every to be at least 1, got {self.every}")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"expected a number of frames per second above 0, got {self.fps}")
        if not (math.isfinite(self.start) and self.start >= 0):
            raise UsageError(f"expected a start >= 0 seconds, got {self.start}")
        if self.duration is not None and not self.duration > 0:
            raise UsageError(f"expected a duration above 0 seconds, got {self.duration}")

    @property
    def end(self) -> float:
        """End time in seconds; infinite for the whole rest."""
        return math.inf if self.duration is None else self.start + self.duration


EVERY_FRAME = Sampling()


@dataclass(frozen=True, eq=False)
class FramePair:
    """A frame of each video, to be compared.

    Attributes:
        frame: number of the reference's frame, counted from 0.
        time: time of the reference's frame in seconds.
        reference: uint8 RGB [H, W, 3].
        candidate: uint8 RGB [H, W, 3].
    """

    frame: int
    time: float
    reference: Pixels
    candidate: Pixels


class ClipPair:
    """Two open videos, as an iterator over the pairs of frames to compare.

    Attributes:
        reference: the first video.
        candidate: the second video.
        remark: set after the last pair: one line that says which video ends before the other, or
            before its stated end; None if neither does.
    """

    def __init__(
        self,
        reference: str | os.PathLike[str],
        candidate: str | os.PathLike[str],
        sampling: Sampling = EVERY_FRAME,
        *,
        resize: bool = False,
    ) -> None:
        """Open both videos.

        Args:
            reference: a file.
            candidate: a file.
            sampling: the frames to compare.
            resize: allow different sizes.

        Raises:
            ImageError: a video cannot be read, or the sizes or frame rates differ.
            UsageError: the sampling asks for more frames per second than the videos have.
        """
        self.reference, self.candidate = open_clip(Path(reference)), open_clip(Path(candidate))
        self.remark: str | None = None
        self._sampling = sampling
        self._clips: tuple[Clip, Clip] = (self.reference, self.candidate)
        clips = self._clips
        if self.reference.size != self.candidate.size and not resize:
            sizes = (f"{clip.path} is {clip.size[0]}x{clip.size[1]}" for clip in clips)
            raise ImageError(
                f"the sizes differ: {', '.join(sizes)} (width x height): crop one, or request a "
                "resize (--resize)"
            )
        rates = " and ".join(f"{clip.path} has {clip.rate:g}" for clip in clips)
        slowest = min(clip.rate for clip in clips)
        if sampling.fps is None:
            if not self._same_rate():
                raise ImageError(
                    f"the frame rates differ: {rates} frames per second: match the frames by time "
                    f"with --fps {slowest:g}, or fewer"
                )
        elif sampling.fps > slowest * (1 + 1e-3):
            raise UsageError(f"--fps {sampling.fps:g} is more than the videos have: {rates}")

    def expected(self) -> int:
        """Return the number of pairs according to the files; 0 if they do not state it."""
        sampling, rate = self._sampling, self.reference.rate
        stated = min(clip.stated / clip.rate for clip in self._clips)
        end = min(stated, sampling.end) - EPSILON / rate
        if sampling.fps is None:
            first = math.ceil(sampling.start * rate - EPSILON)
            return len(range(first, math.ceil(end * rate), sampling.every or 1))
        return max(0, math.ceil((end - sampling.start) * sampling.fps))

    def __iter__(self) -> Iterator[FramePair]:
        """Yield the pairs; once only."""
        try:
            for first, second in self._frames():
                if first is None or second is None:
                    self.remark = self._remark_on_end(first is None, second is None)
                    break
                yield FramePair(first.number, first.time, first.pixels, second.pixels)
        finally:
            for clip in self._clips:
                clip.close()

    def _frames(self) -> Iterator[tuple[Frame | None, Frame | None]]:
        """Yield the frames of both videos on display at the same times; None where one ends."""
        sampling, reference, candidate = self._sampling, self.reference, self.candidate
        end = sampling.end - EPSILON / reference.rate
        if sampling.fps is not None:
            for step in count():
                time = sampling.start + step / sampling.fps
                if time >= end:
                    return
                yield reference.at(time), candidate.at(time)
        step = sampling.every or 1
        time = sampling.start - step / reference.rate
        for number in count(reference.first_at(sampling.start), step):
            frame = reference.read(number)
            # Behind the end of the reference, the candidate is asked whether it goes on.
            time = time + step / reference.rate if frame is None else frame.time
            if time >= end:
                return
            yield frame, candidate.at(time)

    def _remark_on_end(self, first_ended: bool, second_ended: bool) -> str | None:
        """Explain an unexpected end of a video in one line."""
        for clip in self._clips:
            if clip.fault is not None:
                return (
                    f"{clip.path} is damaged after {clip.frames_read} frames ({clip.fault}): its "
                    "rest was not compared"
                )
        if first_ended != second_ended:
            short, long = self._clips if first_ended else self._clips[::-1]
            return (
                f"{short.path} ends after {short.frames_read} frames, and {long.path} is longer: "
                "its rest was not compared"
            )
        first, second = (clip.frames_read / clip.rate for clip in self._clips)
        # One may end before the other between two compared frames. At different rates, equal times
        # are seldom whole numbers of frames.
        tolerance = 0.5 if self._same_rate() else 1.0
        if abs(first - second) > tolerance / min(clip.rate for clip in self._clips):
            lengths = (f"{clip.path} has {clip.frames_read} frames" for clip in self._clips)
            return f"the lengths differ: {', '.join(lengths)}"
        for clip in self._clips:
            # Stated lengths are inexact, but not by a tenth.
            if clip.frames_read < 0.9 * clip.stated:
                return (
                    f"{clip.path} states {clip.stated} frames, but only {clip.frames_read} could "
                    "be read: it may be damaged"
                )
        return None

    def _same_rate(self) -> bool:
        return math.isclose(self.reference.rate, self.candidate.rate, rel_tol=1e-3)
