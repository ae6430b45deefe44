"""Videos: sampling of frames, refusals, and the command."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from infer_helpers import python

from dps_infer.errors import ImageError, UsageError
from dps_infer.video.frames import ClipPair, Sampling

WIDTH, HEIGHT = 64, 48


def film(
    path: Path,
    *,
    frames: int = 20,
    rate: float = 10.0,
    changed: tuple[int, ...] = (),
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Path:
    """Write a video of gray frames, each lighter by 5; the `changed` ones are green."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, size)
    assert writer.isOpened()
    for number in range(frames):
        pixels = np.full((size[1], size[0], 3), 5 * number, np.uint8)
        if number in changed:
            pixels[:, :, 1] += 100
        writer.write(pixels)
    writer.release()
    return path


@pytest.fixture(params=["PyAV", "OpenCV"], autouse=True)
def backend(request, monkeypatch) -> str:
    """Both readers of videos give the same."""
    if request.param == "PyAV":
        pytest.importorskip("av")
    else:
        monkeypatch.setattr("dps_infer.video.open.has_pyav", lambda: False)
    return request.param


@pytest.fixture
def films(tmp_path) -> tuple[Path, Path]:
    """Two videos that differ in frame 7 only."""
    return film(tmp_path / "a.avi"), film(tmp_path / "b.avi", changed=(7,))


def frames(*clips: Path, resize: bool = False, **sampling: float) -> list[int]:
    """Return the numbers of the compared frames, after checking them by their gray."""
    pairs = list(ClipPair(*clips, Sampling(**sampling), resize=resize))
    for pair in pairs:
        assert abs(int(pair.reference[0, 0, 0]) - 5 * pair.frame) <= 2
    return [pair.frame for pair in pairs]


# --- which frames -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ({}, list(range(20))),
        ({"every": 6}, [0, 6, 12, 18]),
        ({"start": 0.3, "duration": 0.3}, [3, 4, 5]),
        ({"start": 1.75}, [18, 19]),
        ({"fps": 2.5}, [0, 4, 8, 12, 16]),
        ({"fps": 10}, list(range(20))),
        ({"fps": 4, "start": 0.5, "duration": 0.6}, [5, 7, 10]),
        ({"every": 3, "start": 1, "duration": 0.7}, [10, 13, 16]),
    ],
)
def test_sampling(films, sampling, expected):
    assert frames(*films, **sampling) == expected
    assert ClipPair(*films, Sampling(**sampling)).expected() == len(expected)


def test_frame_rates_that_differ_are_matched_by_time(tmp_path):
    slow = film(tmp_path / "slow.avi", frames=10, rate=5)
    fast = film(tmp_path / "fast.avi", frames=20, rate=10)
    with pytest.raises(ImageError, match=r"rates differ: .*slow.avi has 5 .*--fps 5"):
        ClipPair(slow, fast, Sampling())
    with pytest.raises(UsageError, match="more than the videos have"):
        ClipPair(slow, fast, Sampling(fps=8))
    pairs = list(ClipPair(slow, fast, Sampling(fps=5)))
    assert [pair.frame for pair in pairs] == list(range(10))
    # At equal times, the fast video has shown twice as many frames.
    assert all(abs(int(p.candidate[0, 0, 0]) - 10 * p.frame) <= 2 for p in pairs)


@pytest.mark.parametrize(
    "sampling",
    [
        {"every": 2, "fps": 2},
        {"every": 0},
        {"fps": 0},
        {"fps": float("nan")},
        {"start": -1},
        {"duration": 0},
        {"start": float("inf")},
    ],
)
def test_invalid_sampling_is_refused(sampling):
    with pytest.raises(UsageError):
        Sampling(**sampling)


@pytest.mark.parametrize(("every", "words"), [(1, "is longer"), (7, "lengths differ")])
def test_different_lengths_are_reported(tmp_path, every, words):
    long, short = film(tmp_path / "a.avi"), film(tmp_path / "b.avi", frames=18)
    for first, second in ((long, short), (short, long)):
        clips = ClipPair(first, second, Sampling(every=every))
        assert len(list(clips)) == len(range(0, 18, every))
        assert words in clips.remark
        assert "18 frames" in clips.remark
    # Frames beyond the requested time do not count.
    clips = ClipPair(long, short, Sampling(duration=1.0))
    assert (len(list(clips)), clips.remark) == (10, None)


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("none.avi", None, "no such file"),
        ("empty.avi", b"", "is empty"),
        ("text.avi", b"hello " * 100, "not a video"),
        ("text.mp4", b"\0\0\0\x18ftypmp42" + bytes(100), "not a video"),
        (".", None, "is a folder"),
        ("nul\0.avi", None, "cannot be read"),
        ("http://localhost/a.avi", None, "no such file"),
    ],
)
def test_a_file_that_is_not_a_video_is_refused(tmp_path, films, name, data, words):
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    for pair in ((path, films[0]), (films[0], path)):
        with pytest.raises(ImageError, match=words):
            ClipPair(*pair, Sampling())


def test_a_file_that_is_not_a_video_is_refused_in_one_line(tmp_path, films):
    # In its own process, because FFmpeg writes its message only the first time.
    path = tmp_path / "text.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    arguments = (path, films[0], "-o", tmp_path / "out", "--ranking", "color,blur")
    done = python("-m", "dps_infer.cli", "video", *map(str, arguments))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"dps-infer: error: {path}: is not a video")


def test_sizes_that_differ_are_refused(tmp_path, films):
    small = film(tmp_path / "small.avi", size=(32, 24))
    with pytest.raises(ImageError, match=r"a.avi is 64x48, .*small.avi is 32x24 .*--resize"):
        ClipPair(films[0], small, Sampling())
    assert len(frames(films[0], small, resize=True)) == 20


# --- the command --------------------------------------------------------------------------


def test_video(cli, tmp_path, films, context_path):
    out = tmp_path / "out"
    outcome = cli("video", *films, "-o", out, "--context", context_path, "--worst", 2)
    assert outcome.code == 0
    assert "20 frames compared, 19 identical" in outcome.out
    with (out / "frames.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[:5] == ["reference", "candidate", "frame", "time", "distance"]
    distances = [float(row["distance"]) for row in rows]
    assert [number for number, distance in enumerate(distances) if distance] == [7]
    # Green counts as blur, whose importance is 1; the codec is lossy.
    assert distances[7] == pytest.approx(100 / 255, rel=0.1)
    assert [row["time"] for row in rows[:3]] == ["0.0", "0.1", "0.2"]
    assert sorted(path.name for path in (out / "worst").iterdir()) == [
        "1-frame-000007.png",
        "2-frame-000000.png",
    ]
    worst = cv2.imread(str(out / "worst" / "1-frame-000007.png"))
    assert worst.shape == (HEIGHT, 3 * WIDTH + 16, 3)
    plot = cv2.imread(str(out / "plot.png"))
    assert plot is not None
    assert len(np.unique(plot)) > 2


def test_video_as_json_with_a_threshold_and_two_contexts(cli, tmp_path, films):
    out = tmp_path / "out"
    what = ("--ranking", "color,blur", "--ranking", "blur,color", "--every", 7, "--json")
    outcome = cli("video", *films, "-o", out, *what, "--threshold", "0.001")
    assert outcome.code == 3
    record = outcome.record
    assert (record["frames"], record["identical"], record["remark"]) == (3, 2, None)
    assert record["worst"][0]["frame"] == 7
    assert set(record["results"]) == {"color-blur", "blur-color"}
    assert {results["above"] for results in record["results"].values()} == {1}
    header = (out / "frames.csv").read_text().splitlines()[0].split(",")
    assert header[4:6] == ["distance.color-blur", "distance.blur-color"]
    assert all(Path(picture).is_file() for picture in [*record["pictures"], record["plot"]])


def test_a_video_that_ends_early_is_compared_with_a_note_and_exit_code_4(
    cli, tmp_path, films, context_path
):
    short = film(tmp_path / "short.avi", frames=9)
    out = tmp_path / "out"
    outcome = cli("video", films[0], short, "-o", out, "--context", context_path)
    assert outcome.code == 4
    assert f"dps-infer: note: {short} ends after 9 frames" in outcome.err
    assert len((out / "frames.csv").read_text().splitlines()) == 10


def test_without_matplotlib(cli, tmp_path, films, context_path, monkeypatch):
    what = ("--context", context_path, "--worst", 0, "--every", 10)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused = cli("video", *films, "-o", tmp_path / "a", *what, "--plot")
    assert 'pip install ".[plot]" in a checkout' in refused.error_line
    outcome = cli("video", *films, "-o", tmp_path / "a", *what)
    assert outcome.code == 0
    assert "no plot without matplotlib" in outcome.err
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["frames.csv"]


def test_a_failure_leaves_nothing_behind(cli, tmp_path, films, context_path):
    before = sorted(tmp_path.iterdir())
    late = cli("video", *films, "-o", tmp_path / "out", "--context", context_path, "--start", 9)
    assert "no frame to compare" in late.error_line
    assert sorted(tmp_path.iterdir()) == before
    existing = cli("video", *films, "-o", tmp_path, "--context", context_path)
    assert "exists already" in existing.error_line


def test_a_video_command_loads_matplotlib_only_to_plot(tmp_path, films, context_path):
    # In its own process: removing modules from this one would break other tests.
    arguments = ["video", *films, "-o", tmp_path / "out", "--context", context_path]
    arguments += ["--no-plot", "--every", "10"]
    outcome = python(
        "-c",
        "import sys; from dps_infer.commands.shared.run import _run; "
        "from dps_infer.cli import app; "
        "assert _run(app, 'dps-infer') == 0; assert 'matplotlib' not in sys.modules",
        *map(str, arguments),
    )
    assert outcome.returncode == 0, outcome.stderr
