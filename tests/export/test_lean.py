"""Leaner files: some of the outputs, and images compared in bands."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

# The toy context files of the tests of `dps_infer`.
sys.path.insert(0, str(Path(__file__).parents[1] / "infer"))

from infer_helpers import AMOUNTS, make_model, write

from dps_export.lean import leaner
from dps_export.lean.bands import BANDS, in_bands
from dps_export.lean.choice import Lean, parse_outputs
from dps_export.lean.embedded import export_embedded
from dps_export.lean.leaner import LeanError
from dps_export.specialize import specialize
from dps_infer import Metric
from dps_infer.errors import ContextError
from dps_infer.graph.model import read_model
from dps_infer.model import embedded
from dps_infer.model.contract import IMPORTANCE
from dps_infer.model.manifest import METADATA_KEY, decode_manifest
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import Engine, open_engine
from dps_train.data.sources import photograph

ASKED = ("amounts", "distance")
RANKING = "color,*,blur"
packaged = pytest.mark.skipif(
    not embedded.UNIVERSAL.is_file(), reason="the package has no universal file"
)

ROUNDING = 1e-5
"""Relative: a band sums in another order, which is 1e-6 of a distance."""


@pytest.fixture(scope="module")
def lean(tmp_path_factory) -> Path:
    """The packaged metric with distances, amounts and maps."""
    path = tmp_path_factory.mktemp("lean") / "lean.onnx"
    export_embedded(path, Lean(outputs=(*ASKED, "map")))
    return path


@pytest.fixture(scope="module")
def engines(lean) -> tuple[Engine, Engine]:
    """The whole file and the leaner one."""
    files = (embedded.UNIVERSAL, lean)
    whole, part = (open_engine(read_model(f.read_bytes()), device=Device.cpu) for f in files)
    return whole, part


@pytest.fixture
def source(tmp_path) -> Path:
    """A toy file, which cannot be cut."""
    return write(tmp_path / "toy.onnx", make_model(universal=True))


def stated(path: Path):
    return decode_manifest(read_model(path.read_bytes()).metadata[METADATA_KEY])


# --- in bands -------------------------------------------------------------------------


@packaged
@pytest.mark.parametrize(
    ("references", "count", "height", "width"),
    [(1, 1, 1, 1), (1, 3, 17, 31), (2, 2, 65, 64), (1, 2, 300, 90), (2, 2, 64 * BANDS + 70, 40)],
)
def test_bands_give_what_whole_images_do(engines, references, count, height, width):
    image = photograph("astronaut")[:height, :width]
    others = [np.roll(image, 3, axis=1), image[::-1, ::-1], np.rint(0.8 * image).astype(np.uint8)]
    feeds = {
        "reference": np.stack([image] * references),
        "distorted": np.stack(others[:count]),
        IMPORTANCE: np.ones(len(AMOUNTS), np.float32),
    }
    names = [*ASKED, "map"]
    whole, banded = (engine.run(names, feeds) for engine in engines)
    for name in names:
        assert whole[name].shape == banded[name].shape
        largest = max(1.0, float(np.abs(whole[name]).max()))
        assert np.abs(whole[name] - banded[name]).max() <= ROUNDING * largest, name
    same = {**feeds, "distorted": feeds["reference"]}
    assert engines[1].run(["distance"], same)["distance"].tolist() == [0] * references


@packaged
def test_no_band_starts_before_the_one_above_is_done():
    """Else a runtime could hold the tensors of several bands at a time."""
    model = in_bands(onnx.load(embedded.UNIVERSAL), ["distance"])
    behind: dict[str, set[str]] = {}
    for node in model.graph.node:
        found = {name for name in node.input if name}
        found = found.union(*(behind.get(name, set()) for name in found))
        behind.update(dict.fromkeys(node.output, found))
    given = [name for node in model.graph.node for name in node.output]
    for phase, first in (("d", None), ("s", f"d{BANDS - 1}.")):
        for band in range(BANDS):
            above = f"{phase}{band - 1}." if band else first
            if above is None:
                continue
            ends = {f"{above}cut.fine.reference", f"{above}cut.level3"} & set(given)
            starts = [name for name in given if name.startswith(f"{phase}{band}.")]
            assert ends
            assert any(ends <= behind[name] for name in starts)
            assert all(name.startswith(f"{phase}{band}.") for name in starts)
            assert all(ends <= behind[n] for n in starts if "reference" in behind[n])


@packaged
def test_equal_files_are_equal_bytes(lean, tmp_path):
    export_embedded(tmp_path / "again.onnx", Lean(outputs=("map", *ASKED)))
    assert (tmp_path / "again.onnx").read_bytes() == lean.read_bytes()


def test_bands_that_compute_something_else_are_refused(source, tmp_path, monkeypatch):
    def wrong(_model, _names):
        model = make_model(universal=True, offsets={"distance": 0.5})
        del model.metadata_props[:]
        return model

    monkeypatch.setattr(leaner, "in_bands", wrong)
    with pytest.raises(LeanError, match="distance of images in bands"):
        export_embedded(tmp_path / "lean.onnx", Lean(outputs=ASKED), source=source)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.onnx"]


# --- the file -------------------------------------------------------------------------


def test_a_file_states_its_outputs_in_the_order_of_the_graph(source, tmp_path):
    path = tmp_path / "lean.onnx"
    specialize(path, ranking=RANKING, source=source, lean=Lean(outputs=ASKED))
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [port.name for port in model.graph.output] == ["distance", "amounts"]
    assert [port.name for port in model.graph.input] == ["reference", "distorted"]
    manifest = stated(path)
    assert manifest.outputs == ["distance", "amounts"]
    assert (manifest.precision, manifest.reduced) == ("float32", None)
    taken = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= taken
    whole = stated(source)
    assert whole.outputs is None


def test_dps_infer_gives_what_is_there_and_refuses_maps_in_one_line(source, tmp_path, photo_pair):
    path = tmp_path / "lean.onnx"
    export_embedded(path, Lean(outputs=ASKED), source=source)
    one, whole = (Metric.load(p, ranking=RANKING, device="cpu") for p in (path, source))
    found, expected = (metric.compare(*photo_pair) for metric in (one, whole))
    assert (found.distance, found.parts) == (expected.distance, expected.parts)
    assert found.size == expected.size
    assert (found.strengths, found.directions) == ({}, {})
    assert expected.strengths
    assert (one.gives("map"), one.gives("amounts"), whole.gives("map")) == (False, True, True)
    with pytest.raises(ContextError, match="exported with --outputs distance, amounts") as refused:
        one.compare(*photo_pair, with_map=True)
    assert len(str(refused.value).splitlines()) == 1
    # Without a map, regions follow from the pixels alone.
    assert one.compare(*photo_pair, with_regions=True).regions


@pytest.mark.parametrize("outputs", [("distance",), ("amounts", "map")])
def test_files_for_other_runtimes_are_refused_in_one_line(source, tmp_path, outputs):
    path = tmp_path / "lean.onnx"
    export_embedded(path, Lean(outputs=outputs), source=source)
    with pytest.raises(ContextError, match="it is for other runtimes") as refused:
        Metric.load(path, ranking=RANKING, device="cpu")
    assert len(str(refused.value).splitlines()) == 1


def test_other_outputs_than_stated_are_refused(tmp_path, source):
    model = onnx.load(source)
    manifest = stated(source)
    manifest.outputs = ["distance", "amounts"]
    path = write(tmp_path / "wrong.onnx", make_model(manifest, universal=True))
    assert [port.name for port in model.graph.output] != manifest.outputs
    with pytest.raises(ContextError, match="expected distance, amounts: export"):
        Metric.load(path, ranking=RANKING, device="cpu")


# --- the command ----------------------------------------------------------------------


def test_names_are_parsed():
    assert parse_outputs(None) is None
    assert parse_outputs(" distance, amounts,distance") == ("distance", "amounts")


def test_the_command(cli, source, tmp_path, monkeypatch):
    monkeypatch.setattr("dps_infer.model.embedded.UNIVERSAL", source)
    output = tmp_path / "lean.onnx"
    outcome = cli("embedded", "--outputs", "distance,amounts", "-o", output)
    assert (outcome.code, outcome.out) == (0, ""), outcome.err
    assert stated(output).universal
    outcome = cli("--ranking", RANKING, "--outputs", "distance", "-o", tmp_path / "plain.onnx")
    assert outcome.code == 0
    assert not stated(tmp_path / "plain.onnx").universal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embedded"], "is in the package already"),
        (["embedded", "--outputs", "distance,weight"], "'weight': expected some of distance,size"),
        (["--ranking", RANKING, "--outputs", ""], "'': expected some of distance"),
        (["embedded", "--precision", "fp8"], "fp8"),
    ],
)
def test_wrong_usage(cli, source, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setattr("dps_infer.model.embedded.UNIVERSAL", source)
    monkeypatch.chdir(tmp_path)
    outcome = cli(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["toy.onnx"]


@pytest.fixture
def photo_pair() -> tuple[np.ndarray, np.ndarray]:
    first, second = np.random.default_rng(1).integers(0, 256, (2, 30, 21, 3), dtype=np.uint8)
    return first, second
