"""Large images, compared in bands of cell rows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper

from dps_infer import Metric
from dps_infer.compare import runner
from dps_infer.errors import ContextError
from dps_infer.graph.model import read_model
from dps_infer.model import embedded
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import IMAGES, IMPORTANCE
from dps_infer.runtime import bands
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import Engine, open_engine

OUTPUTS = ("distance", "size", "amounts", "strengths", "directions", "map", "cells")

# Both compute the same in float32; the heads add up batches of other sizes in another order.
WITHIN = {"strengths": 1e-4, "map": 1e-5, "cells": 1e-5}
OTHERS_WITHIN = 1e-6

SIZES = [(200, 150), (321, 130), (64, 300), (97, 64)]
"""Heights and widths: of one to six rows of cells, whole ones and parts."""


@pytest.fixture(scope="module")
def engine() -> Engine:
    file = read_context_file(embedded.UNIVERSAL)
    return open_engine(file.model, device=Device.cpu, threads=1)


@pytest.fixture(scope="module")
def importance() -> np.ndarray:
    manifest = read_context_file(embedded.UNIVERSAL).manifest
    return np.ones(len(manifest.metric.amounts), np.float32)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Shapes with edges and texture: uint8 [H, W, 3]."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (3 + height // 20, 3 + width // 20, 3), dtype=np.uint8)
    shapes = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    edges = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    texture = generator.integers(0, 24, shapes.shape, dtype=np.uint8)
    return shapes // 3 + edges // 3 + texture


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    height, width, _ = image.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT)


def changed(image: np.ndarray) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(1).integers(0, 40, image.shape, dtype=np.uint8)
    return {
        "identical": image,
        "shifted": np.roll(image, (9, 5), axis=(0, 1)),
        "turned": turned(image, 10),
        "turned a lot": turned(image, 100),
        "noisy": cv2.add(image, noise),
        "another": picture(*image.shape[:2], seed=2),
    }


def assert_alike(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name in OUTPUTS:
        within = WITHIN.get(name, OTHERS_WITHIN) * max(1, float(expected[name].max()))
        np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=within, err_msg=name)


@pytest.mark.parametrize("change", list(changed(np.zeros((8, 8, 3), np.uint8))))
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_bands_give_what_whole_images_give(engine, importance, height, width, change):
    reference = picture(height, width)
    feeds = {
        "reference": reference[None],
        "distorted": changed(reference)[change][None],
        IMPORTANCE: importance,
    }
    whole = engine.run(OUTPUTS, feeds)
    for rows in (1, 2):
        in_bands = engine.run(OUTPUTS, feeds, band_pixels=rows * bands.CELL * width)
        assert_alike(in_bands, whole)
        if change == "identical":
            assert in_bands["distance"].tolist() == [0.0]


@pytest.mark.parametrize("references", [1, 3])
def test_several_pairs_are_compared_one_after_another(engine, importance, references):
    image = picture(150, 120)
    candidates = list(changed(image).values())[1:4]
    reference = np.stack([image, *candidates[:2]][:references])
    feeds = {"reference": reference, "distorted": np.stack(candidates), IMPORTANCE: importance}
    assert_alike(engine.run(OUTPUTS, feeds, band_pixels=1), engine.run(OUTPUTS, feeds))
    np.testing.assert_array_equal(reference[0], image)


def test_only_what_is_asked_for_is_given(engine, importance):
    image = picture(150, 120)[None]
    feeds = {"reference": image, "distorted": image // 2, IMPORTANCE: importance}
    assert list(engine.run(["amounts"], feeds, band_pixels=1)) == ["amounts"]


def test_a_model_that_cannot_be_cut_compares_whole_images(context_path):
    engine = open_engine(read_context_file(context_path).model, device=Device.cpu, threads=1)
    image = picture(150, 120)[None]
    feeds = {"reference": image, "distorted": image // 2}
    np.testing.assert_array_equal(
        engine.run(["distance"], feeds, band_pixels=1)["distance"],
        engine.run(["distance"], feeds)["distance"],
    )


def test_parts_that_do_not_fit_together_are_refused():
    names = [*bands.DETAILS, *bands.MOTION, *bands.POSITIONS, *bands.SAMPLES, *bands.STATISTICS]
    nodes = [helper.make_node("Cast", ["distorted"], ["image"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("ReduceMean", ["image"], [name], keepdims=0) for name in names]
    nodes.append(helper.make_node("Sum", names, ["distance"]))
    image = [helper.make_tensor_value_info(name, TensorProto.UINT8, [None] * 4) for name in IMAGES]
    *cuts, distance = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in (*names, "distance")
    )
    graph = helper.make_graph(nodes, "graph", image, [distance], value_info=cuts)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    engine = open_engine(read_model(model.SerializeToString()), device=Device.cpu, threads=1)
    feeds = dict.fromkeys(IMAGES, picture(70, 70)[None])
    with pytest.raises(ContextError, match="in bands"):
        engine.run(["distance"], feeds, band_pixels=1)


def test_large_images_alone_open_the_parts(monkeypatch):
    opened = []
    open_banded = bands.open_banded
    monkeypatch.setattr(
        bands, "open_banded", lambda *given: opened.append(given[1]) or open_banded(*given)
    )
    monkeypatch.setattr(runner, "BANDED_PIXELS", 150 * 120 - 1)
    monkeypatch.setattr(runner, "BAND_PIXELS", 1)
    metric = Metric.universal(ranking="color,blur", device="cpu", threads=1)
    small, large = picture(119, 150), picture(150, 120)
    metric.compare(small, small // 2)
    assert opened == []
    first = metric.compare(large, large // 2)
    assert metric.compare(large, large // 2) == first
    assert len(opened) == 1
    monkeypatch.setattr(runner, "BANDED_PIXELS", 150 * 120)
    assert metric.compare(large, large // 2).distance == pytest.approx(first.distance, abs=1e-6)
