"""`assert_similar`: success, failure with its message and files, and baselines."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from infer_helpers import encode

from dps_infer import Metric
from dps_infer.bulk.threshold_estimate import make_threshold
from dps_infer.bulk.thresholds import write_threshold
from dps_infer.errors import DpsError, ThresholdError, UsageError
from dps_infer.testing import UPDATE, assert_similar

DOC = Path(__file__).parents[2] / "docs" / "visual-regression.md"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """Tests run in a folder of their own, where failures leave their images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(UPDATE, raising=False)


@pytest.fixture
def changed(photo) -> np.ndarray:
    """Green differs by 64 everywhere: blur, a quarter of its range."""
    other = photo.copy()
    other[:, :, 1] ^= 64
    return other


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_what_is_similar_passes_and_leaves_nothing(tmp_path, context, photo, changed):
    comparison = assert_similar(changed, photo, metric=context, threshold=0.26)
    assert comparison.distance == pytest.approx(64 / 255, rel=1e-6)
    assert assert_similar(photo, photo, metric=context, threshold=0).distance == 0
    assert list(tmp_path.iterdir()) == []


def test_a_failure_says_why_and_saves_the_images(tmp_path, context, photo, changed):
    with pytest.raises(AssertionError) as failure:
        assert_similar(changed, photo, metric=context, threshold=0.25, save_to=tmp_path / "out")
    lines = str(failure.value).splitlines()
    assert lines[0] == "0.251 = 0.251 softer (about sigma 2.5 px)"
    assert "above the threshold 0.25" in lines
    assert lines[-1] == f"images and heat map in {tmp_path / 'out'}"
    assert np.array_equal(read(tmp_path / "out" / "actual.png"), changed)
    assert np.array_equal(read(tmp_path / "out" / "expected.png"), photo)
    assert read(tmp_path / "out" / "map.png").shape[0] > photo.shape[0]


def test_failures_are_kept_apart_by_test_and_baseline(tmp_path, context, photo, changed):
    Path("page.png").write_bytes(encode(".png", photo))
    for expected in ("page.png", photo):
        with pytest.raises(AssertionError):
            assert_similar(changed, expected, metric=context, threshold=0)
    names = sorted(path.name for path in (tmp_path / "dps-failures").iterdir())
    assert len(names) == 2
    assert all("test_testing.py-test_failures_are_kept_apart" in name for name in names)
    assert sum(name.endswith("-page") for name in names) == 1


@pytest.mark.parametrize(
    "wish",
    [
        {"ranking": "color,blur"},
        {"importances": {"blur": 1, "other": 1}},
        {"importances": "blur=1,other=1"},
    ],
)
def test_the_context_may_be_told(universal_path, photo, changed, wish):
    expected = Metric.load(universal_path, device="cpu", **wish).compare(photo, changed).distance
    for context in (universal_path, Metric.load(universal_path, ranking="blur,zoom")):
        comparison = assert_similar(changed, photo, metric=context, threshold=9, **wish)
        assert comparison.distance == expected
    assert assert_similar(photo, photo, threshold=0, **wish).distance == 0


def test_a_universal_metric_needs_a_context(photo):
    with pytest.raises(UsageError, match="needs a context"):
        assert_similar(photo, photo, threshold=1)


def test_sizes_that_differ_fail(tmp_path, context, photo):
    with pytest.raises(AssertionError, match=r"the size is 32x12, expected 32x24") as failure:
        assert_similar(photo[:12].copy(), photo, metric=context, threshold=9, save_to="out")
    assert "\n" not in str(failure.value)
    assert sorted(path.name for path in Path("out").iterdir()) == ["actual.png", "expected.png"]


def test_a_map_of_an_earlier_failure_does_not_stay(context, photo, changed):
    for actual in (changed, photo[:12].copy()):
        with pytest.raises(AssertionError):
            assert_similar(actual, photo, metric=context, threshold=0, save_to="out")
    assert not Path("out/map.png").exists()


def test_threshold_files(tmp_path, context, photo, changed):
    write_threshold(make_threshold([0.2] * 200, context, references=200), Path("bar.json"))
    with pytest.raises(AssertionError, match=r"above the threshold 0\.2"):
        assert_similar(changed, photo, metric=context, threshold="bar.json")
    with pytest.raises(ThresholdError, match="no such file"):
        assert_similar(changed, photo, metric=context, threshold="none.json")


# --- baselines ----------------------------------------------------------------------------


def test_a_missing_baseline_fails_and_an_update_writes_it(context, photo, changed, monkeypatch):
    baseline = Path("baselines/page.png")
    with pytest.raises(AssertionError, match=f"no baseline .*{UPDATE}=1"):
        assert_similar(photo, baseline, metric=context, threshold=0)
    assert not baseline.exists()
    monkeypatch.setenv(UPDATE, "1")
    assert assert_similar(photo, baseline, metric=context, threshold=0) is None
    assert np.array_equal(read(baseline), photo)
    monkeypatch.setenv(UPDATE, "0")
    assert_similar(photo, baseline, metric=context, threshold=0)
    with pytest.raises(AssertionError):
        assert_similar(changed, baseline, metric=context, threshold=0)
    assert np.array_equal(read(baseline), photo)


def test_an_update_leaves_equal_pixels_alone(context, photo, changed):
    baseline = Path("page.png")
    # Another compression of the same pixels.
    baseline.write_bytes(encode(".png", photo, cv2.IMWRITE_PNG_COMPRESSION, 0))
    before = baseline.read_bytes()
    assert_similar(photo, baseline, metric=context, threshold=0, update=True)
    assert baseline.read_bytes() == before
    assert_similar(changed, baseline, metric=context, threshold=0, update=True)
    assert np.array_equal(read(baseline), changed)


@pytest.mark.parametrize(("expected", "words"), [(b"pixels", "got bytes"), ("page.jpg", "PNG")])
def test_what_cannot_be_updated_is_refused(context, photo, expected, words):
    with pytest.raises(UsageError, match=words):
        assert_similar(photo, expected, metric=context, threshold=0, update=True)


def test_an_unclear_wish_for_an_update_is_refused(context, photo, monkeypatch):
    monkeypatch.setenv(UPDATE, "perhaps")
    with pytest.raises(DpsError, match="expected 1 or 0"):
        assert_similar(photo, photo, metric=context, threshold=0)
