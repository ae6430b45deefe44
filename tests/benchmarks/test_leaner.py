"""Leaner files take less memory, and the benchmark of smaller numbers runs."""

from __future__ import annotations

import pytest

from benchmarks.quality import runtime_memory
from benchmarks.speed import precision
from dps_export.lean import agreement
from dps_export.lean.choice import Lean
from dps_export.lean.embedded import export_embedded
from dps_infer.errors import DpsError
from dps_infer.model import embedded
from dps_train.data.sources import Images, photograph

SIZE = (1500, 2000)


def test_a_leaner_file_takes_half_of_the_memory(tmp_path):
    path = tmp_path / "lean.onnx"
    export_embedded(path, Lean(outputs=("distance", "amounts")))
    whole, lean = (
        runtime_memory._in_process(runtime_memory.RUNTIMES[runtime_memory.LEAN], file, SIZE, 0)
        for file in (embedded.UNIVERSAL, path)
    )
    # Python, onnxruntime and the images take 0.13 GB of both.
    assert lean - 0.1e9 < (whole - 0.1e9) / 2


@pytest.mark.parametrize(("gigabytes", "refused"), [(0.6, False), (0.61, True)])
def test_a_leaner_file_that_takes_too_much_is_refused(gigabytes, refused):
    peak = runtime_memory.Peak(runtime=runtime_memory.LEAN, megapixels=12, gigabytes=gigabytes)
    figures = runtime_memory.Figures(peaks=[peak])
    if not refused:
        runtime_memory.check(figures)
        return
    with pytest.raises(DpsError, match=r"takes 0.61 GB at 12 megapixels, expected at most 0.6 GB"):
        runtime_memory.check(figures)


def test_precisions_beside_float32(measured, monkeypatch):
    monkeypatch.setattr(precision, "SIDES", (64,))
    monkeypatch.setattr(precision, "ROUNDS", 1)
    monkeypatch.setattr(agreement, "ROUNDS", 1)
    monkeypatch.setattr(agreement, "DRAWS", 2)
    monkeypatch.setattr(agreement, "TRAINING_PHOTOGRAPHS", ("astronaut",))
    few = Images("few", [photograph("chelsea")[:96, :96]])
    monkeypatch.setattr(agreement, "load_held_out", lambda *_: few)
    blur = agreement.LADDERS["blur of sigma"]
    monkeypatch.setattr(agreement, "LADDERS", {"blur": (blur[0], blur[1][::5])})
    found = measured("precision").read_figures(precision.Figures)
    assert [one.precision for one in found.files] == ["float16", "int8"]
    assert all(one.megabytes < found.megabytes for one in found.files)
    assert all(one.agreement.speed > 0 for one in found.files)
    assert set(found.milliseconds) == {"64"}
    (share,) = found.shares
    assert 0 < share.network < share.convolutions < 1
