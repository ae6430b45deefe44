"""How images get to CUDA and numbers back, on the CPU's sessions and on one that is played."""

from __future__ import annotations

import numpy as np
import pytest
from infer_helpers import make_model

from dps_infer.contexts.ranking import KINDS
from dps_infer.errors import ContextError
from dps_infer.graph.model import Model, read_model
from dps_infer.model import embedded
from dps_infer.model.contract import IMPORTANCE
from dps_infer.runtime import engine as runtime
from dps_infer.runtime.cuda import Feeding
from dps_infer.runtime.device import CUDA, Device

FEEDINGS = [
    pytest.param(Feeding(filled=filled, bound_to=device), id=f"{filled}-{device}")
    for filled in (False, True)
    for device in (None, "cpu")
]

OUTPUTS = ["distance", "amounts", "map"]
AMOUNTS = len(KINDS) + 2

needs_embedded = pytest.mark.skipif(
    not embedded.UNIVERSAL.is_file(), reason="the package has no universal file yet"
)


def images(count: int, seed: int = 0, side: int = 40) -> np.ndarray:
    shape = (count, side, side + 7, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def engine() -> runtime.Engine:
    return runtime.open_engine(
        read_model(embedded.UNIVERSAL.read_bytes()), device=Device.cpu, threads=1
    )


@needs_embedded
@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize(("references", "count"), [(1, 1), (1, 3), (3, 3), (4, 4), (5, 5)])
def test_no_way_of_feeding_changes_a_number(engine, monkeypatch, feeding, references, count):
    feeds = {
        "reference": images(references),
        "distorted": images(count, 1),
        IMPORTANCE: np.linspace(0.5, 2, AMOUNTS, dtype=np.float32),
    }
    before = {name: feed.copy() for name, feed in feeds.items()}
    expected = engine.run(OUTPUTS, feeds)
    monkeypatch.setattr(engine, "feeding", feeding)
    found = engine.run(OUTPUTS, feeds)
    assert list(found) == OUTPUTS
    for name in OUTPUTS:
        assert found[name].shape == expected[name].shape
        # Another number of rows, another order of sums; presences enlarge the rounding errors.
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6)
    for name, feed in feeds.items():
        assert np.array_equal(feed, before[name])


@needs_embedded
@pytest.mark.parametrize("feeding", FEEDINGS)
def test_identical_images_stay_at_0(engine, monkeypatch, feeding):
    monkeypatch.setattr(engine, "feeding", feeding)
    same = images(3)
    feeds = {"reference": same, "distorted": same, IMPORTANCE: np.ones(AMOUNTS, np.float32)}
    assert engine.run(["distance"], feeds)["distance"].tolist() == [0, 0, 0]


EMPTY = Model(b"", {}, [])


@pytest.fixture
def plain(monkeypatch) -> runtime.Engine:
    engine = runtime.open_engine(read_model(make_model().SerializeToString()), device=Device.cpu)
    monkeypatch.setattr(engine, "feeding", Feeding(filled=True, bound_to="cpu"))
    return engine


def test_images_that_do_not_lie_in_one_piece_are_read_as_they_are(plain):
    first, second = images(6), images(6, 1)
    turned = {"reference": first[::2, ::-1], "distorted": second[1::2, ::-1]}
    straight = {name: feed.copy() for name, feed in turned.items()}
    expected = plain.run(["distance"], straight)["distance"]
    assert len(set(expected.tolist())) == 3
    assert np.array_equal(plain.run(["distance"], turned)["distance"], expected)


def test_failures_of_a_bound_run_are_told(plain):
    feeds = {"reference": images(2), "distorted": images(2)[:, :-1]}
    with pytest.raises(ContextError, match=r"distorted \[2, 39, 47, 3\]"):
        plain.run(["distance"], feeds)


# --- CUDA, played by a fake ------------------------------------------------------------


class FakeBinding:
    def __init__(self, session):
        self.session, self.inputs, self.outputs, self.done = session, {}, {}, []

    def bind_cpu_input(self, name, feed):
        self.inputs[name] = feed

    def bind_output(self, name, device):
        self.outputs[name] = device

    def synchronize_inputs(self):
        self.done.append("inputs are there")

    def synchronize_outputs(self):
        self.done.append("outputs are there")

    def copy_outputs_to_cpu(self):
        assert self.done == ["inputs are there", "run", "outputs are there"]
        rows = np.arange(len(self.inputs["distorted"]), dtype=np.float32)
        return [rows for _ in self.outputs]


class FakeSession:
    """A session on CUDA that says which rows it was given, and remembers their shapes."""

    def __init__(self):
        self.shapes = []
        self.devices = set()

    def io_binding(self):
        return FakeBinding(self)

    def run_with_iobinding(self, binding, options):
        assert options is not None
        binding.done.append("run")
        self.shapes.append(tuple(len(feed) for feed in binding.inputs.values()))
        self.devices |= set(binding.outputs.values())


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def on_cuda(session) -> runtime.Engine:
    return runtime.Engine(CUDA, 1, None, EMPTY, lambda model: session, session)


def test_cuda_sees_few_shapes_and_their_further_rows_are_dropped(on_cuda, session):
    for count in range(1, 17):
        feeds = {"reference": images(count, side=4), "distorted": images(count, side=4)}
        assert on_cuda.run(["distance"], feeds)["distance"].tolist() == list(range(count))
    assert sorted(set(session.shapes)) == [(rows, rows) for rows in (1, 2, 4, 8, 16)]
    assert session.devices == {"cuda"}


def test_a_shared_reference_goes_through_the_same_as_its_candidates(on_cuda, session):
    feeds = {
        "reference": images(1, side=4),
        "distorted": images(7, side=4),
        IMPORTANCE: np.ones(AMOUNTS, np.float32),
    }
    assert len(on_cuda.run(["distance", "amounts"], feeds)["amounts"]) == 7
    assert session.shapes == [(8, 8, AMOUNTS)]


def test_the_cpu_is_fed_as_ever():
    engine = runtime.open_engine(read_model(make_model().SerializeToString()), device=Device.cpu)
    assert engine.feeding is None
