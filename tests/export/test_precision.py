"""Networks in half precision and in 8 bits: what changes, what is measured, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

# The toy context files of the tests of `dps_infer`.
sys.path.insert(0, str(Path(__file__).parents[1] / "infer"))

from infer_helpers import make_model, write

from dps_export.lean import agreement
from dps_export.lean.agreement import calibration_pairs, check_agreement
from dps_export.lean.choice import Lean, Precision
from dps_export.lean.embedded import export_embedded
from dps_export.lean.precision import convolutions, in_precision
from dps_infer import Metric
from dps_infer.errors import UsageError
from dps_infer.model import embedded
from dps_infer.model.manifest import Difference, Reduced
from dps_train.data.sources import Images, photograph

packaged = pytest.mark.skipif(
    not embedded.UNIVERSAL.is_file(), reason="the package has no universal file"
)

CLOSE = {Precision.fp16: 5e-3, Precision.int8: 0.2}
"""Largest relative difference of a distance: half precision has 11 bits, and 8 bits enlarge what
differs by little most."""


@pytest.fixture(scope="module", autouse=True)
def few_pairs():
    """Measure on few images, and learn ranges from two photographs."""
    with pytest.MonkeyPatch.context() as patch:
        few = [photograph("chelsea")[:96, :96], photograph("rocket")[:96, :96]]
        patch.setattr(agreement, "load_held_out", lambda *_: Images("few", few))
        patch.setattr(agreement, "DRAWS", 2)
        patch.setattr(agreement, "ROUNDS", 1)
        patch.setattr(agreement, "SPEED_SIDE", 64)
        patch.setattr(agreement, "TRAINING_PHOTOGRAPHS", ("astronaut", "brick"))
        blur = agreement.LADDERS["blur of sigma"]
        patch.setattr(agreement, "LADDERS", {"blur of sigma": (blur[0], blur[1][::3])})
        yield


@pytest.fixture(scope="module", params=[Precision.fp16, Precision.int8], ids=lambda p: p.value)
def narrow(request, tmp_path_factory) -> tuple[Precision, Path]:
    """The packaged metric in smaller numbers, with two outputs."""
    precision = request.param
    path = tmp_path_factory.mktemp(precision.value) / "narrow.onnx"
    export_embedded(path, Lean(outputs=("distance", "amounts"), precision=precision))
    return precision, path


@packaged
def test_the_network_alone_computes_in_smaller_numbers(narrow):
    precision, path = narrow
    model = onnx.load(path)
    assert [one.domain for one in model.opset_import] == [""]
    assert {port.type.tensor_type.elem_type for port in model.graph.output} == {
        onnx.TensorProto.FLOAT
    }
    network = [tensor for tensor in model.graph.initializer if ".backbone." in tensor.name]
    kinds = {tensor.data_type for tensor in network if len(tensor.dims) == 4}
    expected = {Precision.fp16: onnx.TensorProto.FLOAT16, Precision.int8: onnx.TensorProto.INT8}
    assert kinds == {expected[precision]}


@packaged
def test_distances_hardly_change_and_identical_images_have_none(narrow):
    precision, path = narrow
    one, whole = (
        Metric.load(p, importances={"size": 1.0}, device="cpu") for p in (path, embedded.UNIVERSAL)
    )
    image = photograph("chelsea")[:200, :300]
    darker = np.rint(0.8 * image).astype(np.uint8)
    there, back = one.compare(image, darker).distance, one.compare(darker, image).distance
    assert there == pytest.approx(back, rel=1e-4)
    assert there == pytest.approx(whole.compare(image, darker).distance, rel=CLOSE[precision])
    references, same = np.stack([image, darker]), np.stack([image, darker])
    assert one.measure(references, same).distances.tolist() == [0, 0]


@packaged
def test_the_manifest_states_the_agreement(narrow):
    precision, path = narrow
    manifest = Metric.load(path, importances={"size": 1.0}, device="cpu").manifest
    assert manifest.precision == precision.stated
    found = manifest.reduced
    assert found is not None
    assert found.pairs == 6 * 2 * 2 + 6 * 4
    assert 0 < found.distance.mean <= found.distance.largest < CLOSE[precision] + 0.1
    assert 0 < found.amounts.mean <= found.amounts.largest
    assert abs(found.two_afc - found.two_afc_float32) <= agreement.TWO_AFC_WITHIN
    assert found.two_afc > 0.8
    assert found.order > 0.9
    assert found.speed > 0


@packaged
def test_a_file_that_changes_scores_is_refused(tmp_path, cli, monkeypatch):
    monkeypatch.setattr(agreement, "TWO_AFC_WITHIN", -1)
    path = tmp_path / "narrow.onnx"
    outcome = cli("embedded", "--precision", "fp16", "-o", path)
    assert outcome.code == 1
    assert "in fp16 the 2AFC score is" in outcome.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("two_afc", "order", "message"),
    [
        (0.97, 0.99, None),
        (0.9669, 0.99, "2AFC score is 0.9669, 0.9700 in float32, expected within 0.003"),
        (0.97, 0.9849, "order along ladders is 0.9849, 0.9900 in float32"),
        (float("nan"), 0.99, "2AFC"),
    ],
)
def test_bounds(two_afc, order, message):
    found = Reduced(
        pairs=1,
        distance=Difference(largest=0.1, mean=0.1),
        amounts=Difference(largest=0.1, mean=0.1),
        two_afc=two_afc,
        two_afc_float32=0.97,
        order=order,
        order_float32=0.99,
        speed=1.0,
    )
    if message is None:
        check_agreement(found, "int8")
        return
    with pytest.raises(agreement.AgreementError, match=message):
        check_agreement(found, "int8")


def test_a_metric_without_a_network_is_refused(tmp_path):
    source = write(tmp_path / "toy.onnx", make_model(universal=True))
    with pytest.raises(UsageError, match="no convolutions"):
        export_embedded(tmp_path / "x.onnx", Lean(precision=Precision.fp16), source=source)


def test_float32_changes_nothing():
    model = make_model(universal=True)
    assert in_precision(model, Precision.fp32, ()) == model
    assert convolutions(model) == []
    assert calibration_pairs(3)[0]["importance"].tolist() == [1, 1, 1]
