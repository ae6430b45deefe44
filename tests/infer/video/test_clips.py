"""Reading videos: own times, depth, rotation, damage, and what each reader refuses."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dps_infer.errors import ImageError
from dps_infer.video.clip import Clip
from dps_infer.video.frames import ClipPair, Sampling
from dps_infer.video.open import open_clip

av = pytest.importorskip("av")

WIDTH, HEIGHT = 64, 48


@pytest.fixture
def with_opencv(monkeypatch):
    monkeypatch.setattr("dps_infer.video.open.has_pyav", lambda: False)


def picture(number: int) -> np.ndarray:
    """Gray, lighter by 5 with every frame, with a colored corner."""
    pixels = np.full((HEIGHT, WIDTH, 3), 5 * number, np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = (200, 40, 20)
    return pixels


def film(
    path: Path,
    *,
    numbers: tuple[int, ...] = tuple(range(20)),
    codec: str = "ffv1",
    samples: str = "yuv420p",
    transfer: int | None = None,
    first: int = 0,
) -> Path:
    """Write a video of 10 frames per second, of which only these are kept, at their times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, samples
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if transfer is not None:
            stream.codec_context.color_trc = transfer
        # The 8 bits of a sample are the highest ones of a deeper sample.
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame = frame.reformat(format="yuv420p").reformat(format=samples)
            frame.pts, frame.time_base = first + 100 * number, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def grays(clip: Clip) -> list[int]:
    """Return the numbers of all frames, by their gray."""
    found = []
    while (frame := clip.read(len(found))) is not None:
        found.append(round(int(frame.pixels[-1, -1, 0]) / 5))
    return found


def test_frames_are_matched_by_their_own_times(tmp_path):
    whole = film(tmp_path / "a.mkv")
    dropped = film(tmp_path / "b.mkv", numbers=(*range(8), *range(11, 20)), first=700)
    pairs = list(ClipPair(whole, dropped, Sampling(fps=5)))
    assert [pair.frame for pair in pairs] == list(range(0, 20, 2))
    assert [pair.time for pair in pairs] == pytest.approx([0.2 * n for n in range(10)], abs=2e-3)
    shown = [round(int(pair.candidate[-1, -1, 0]) / 5) for pair in pairs]
    # From 0.8 to 1 s, the frame of 0.7 s stays on display.
    assert shown == [0, 2, 4, 6, 7, 7, 12, 14, 16, 18]


def test_opencv_refuses_frames_that_are_not_evenly_spaced(tmp_path, with_opencv):
    whole = film(tmp_path / "a.mkv")
    dropped = film(tmp_path / "b.mkv", numbers=(*range(8), *range(11, 20)))
    with pytest.raises(ImageError, match=r"not evenly spaced in time .* install PyAV"):
        list(ClipPair(whole, dropped, Sampling(fps=5)))


@pytest.mark.parametrize("samples", ["yuv420p10le", "yuv422p", "yuv444p", "yuv444p10le"])
def test_deeper_and_finer_samples_of_the_same_picture_are_the_same(tmp_path, samples):
    one = film(tmp_path / "a.mkv", numbers=tuple(range(5)))
    other = film(tmp_path / "b.mkv", numbers=tuple(range(5)), samples=samples)
    for pair in ClipPair(one, other):
        difference = np.abs(pair.reference.astype(int) - pair.candidate)
        # Away from the corner's edge, where colors of half the resolution are interpolated.
        assert difference[30:, 40:].max() <= 1
        assert difference[:20, :28].max() <= 1


def test_opencv_refuses_deep_samples(tmp_path, with_opencv):
    deep = film(tmp_path / "a.mkv", samples="yuv420p10le")
    with pytest.raises(ImageError, match="such as 10 bits: install PyAV"):
        open_clip(deep)
    assert grays(open_clip(film(tmp_path / "b.mkv"))) == list(range(20))


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused(tmp_path, transfer, name):
    clip = open_clip(film(tmp_path / "a.mkv", transfer=transfer, samples="yuv420p10le"))
    with pytest.raises(ImageError, match=rf"high dynamic range \({name}\)"):
        clip.read(0)


def test_a_broken_tail_is_reported(tmp_path):
    whole = film(tmp_path / "a.mkv", codec="mpeg4")
    data = bytearray(whole.read_bytes())
    broken = tmp_path / "b.mkv"
    broken.write_bytes(data[: len(data) * 2 // 3])
    clips = ClipPair(whole, broken)
    compared = list(clips)
    assert 5 < len(compared) < 20
    assert clips.remark is not None
    assert str(broken) in clips.remark


def test_videos_are_turned_upright(tmp_path):
    path = film(tmp_path / "a.mp4", codec="mpeg4", numbers=(0, 1))
    data = path.read_bytes()
    # The matrix in the box `tkhd`, of 16.16 and 2.30 fixed-point numbers.
    start = data.index(b"tkhd") + 4 + 40
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, HEIGHT << 16, 0, 1 << 30]
    matrix = b"".join(number.to_bytes(4, "big", signed=True) for number in quarter)
    turned = tmp_path / "b.mp4"
    turned.write_bytes(data[:start] + matrix + data[start + 36 :])
    upright, found = open_clip(path).read(0), open_clip(turned)
    assert found.size == (HEIGHT, WIDTH)
    frame = found.read(0)
    assert upright is not None
    assert frame is not None
    # A quarter of a turn clockwise, as players show it.
    assert np.abs(np.rot90(upright.pixels, -1).astype(int) - frame.pixels).max() <= 2


def test_both_readers_turn_alike(tmp_path, monkeypatch):
    test_videos_are_turned_upright(tmp_path)
    with_pyav = open_clip(tmp_path / "b.mp4").read(0)
    monkeypatch.setattr("dps_infer.video.open.has_pyav", lambda: False)
    with_opencv = open_clip(tmp_path / "b.mp4").read(0)
    assert with_pyav is not None
    assert with_opencv is not None
    assert with_pyav.pixels.shape == with_opencv.pixels.shape
    difference = np.abs(with_pyav.pixels.astype(int) - with_opencv.pixels)
    assert np.median(difference) <= 2


def test_playlists_that_name_other_files_are_refused(tmp_path):
    film(tmp_path / "a.mkv")
    (tmp_path / "b.mp4").write_text("#EXTM3U\n#EXTINF:2,\na.mkv\n#EXT-X-ENDLIST\n")
    (tmp_path / "c.mp4").write_text("ffconcat version 1.0\nfile a.mkv\n")
    for name in ("b.mp4", "c.mp4"):
        with pytest.raises(ImageError, match="not a video that PyAV can read"):
            open_clip(tmp_path / name)


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate, sound.pts = 8000, 0
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(ImageError, match="has no video stream"):
        open_clip(path)
