"""Metrics in other processes: pickled, spawned and forked."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import shutil
import threading
import time

import numpy as np
import pytest
from infer_helpers import encode

from dps_infer import Metric
from dps_infer.errors import ContextError, DataError, UsageError


def distance(metric: Metric, paths: tuple[str, str]) -> float:
    return metric.compare(*paths).distance


@pytest.fixture
def paths(tmp_path, photo):
    other = photo.copy()
    other[:, :, 1] ^= 64
    for name, pixels in (("a.png", photo), ("b.png", other)):
        (tmp_path / name).write_bytes(encode(".png", pixels))
    return str(tmp_path / "a.png"), str(tmp_path / "b.png")


def test_a_pickled_metric_measures_the_same(universal, context, paths):
    for metric in (universal, context):
        metric.calibration  # noqa: B018
        again = pickle.loads(pickle.dumps(metric))
        assert again.compare(*paths) == metric.compare(*paths)
        assert again.describe() == metric.describe()
        assert copy.deepcopy(metric).compare(*paths) == metric.compare(*paths)


def test_metrics_of_one_file_still_share_it(universal):
    two = [universal, universal.in_context(ranking="blur,color")]
    first, second = pickle.loads(pickle.dumps(two))
    assert first.runner is second.runner
    assert first.shares_runs_with(second)


def test_a_file_that_changed_meanwhile_is_refused(context_path, universal_path, tmp_path):
    shutil.copy(context_path, tmp_path / "c.onnx")
    data = pickle.dumps(Metric.load(tmp_path / "c.onnx", device="cpu", threads=1))
    shutil.copy(universal_path, tmp_path / "c.onnx")
    with pytest.raises(ContextError, match="is another file than the metric was loaded from"):
        pickle.loads(data)
    (tmp_path / "c.onnx").unlink()
    with pytest.raises(ContextError, match="no such file"):
        pickle.loads(data)


def test_a_relative_path_is_found_from_another_folder(context_path, tmp_path, monkeypatch, paths):
    monkeypatch.chdir(context_path.parent)
    metric = Metric.load(context_path.name, device="cpu", threads=1)
    data = pickle.dumps(metric)
    monkeypatch.chdir(tmp_path)
    assert distance(pickle.loads(data), paths) == distance(metric, paths)


def test_errors_can_be_pickled():
    for error in (DataError(["one", "two"]), UsageError("wrong")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert again.lines == error.lines


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_new_process_opens_the_file_again(context, paths, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    with multiprocessing.get_context(method).Pool(1) as pool:
        found = pool.apply_async(distance, (context, paths)).get(timeout=60)
    assert found == distance(context, paths)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_measures_while_other_threads_decode_and_measure(context, paths):
    expected = distance(context, paths)
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            distance(context, paths)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                os._exit(int(distance(context, paths) != expected))
            assert _exit_code(child) == 0
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _exit_code(child: int) -> int:
    # On a busy machine, a child takes its time; one that hangs never ends.
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


def test_pixels_too_are_compared_in_a_fork(context):
    # A large image, which OpenCV works on with several threads.
    pixels = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    found = context.compare(pixels, pixels[:350, :450], resize=True).distance
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    child = os.fork()
    if child == 0:
        again = context.compare(pixels, pixels[:350, :450], resize=True).distance
        os._exit(int(again != found))
    assert _exit_code(child) == 0
