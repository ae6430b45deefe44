"""The conformance vectors: met by dps_infer and by OpenVINO, and by no wrong client."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

# Clients are not installed: they are imported from the checkout.
sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.conformance import make
from dps_infer import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.compare.runner import importance_vector
from dps_infer.errors import UsageError
from dps_infer.images.decode import load_picture, make_pair
from dps_infer.model import embedded
from dps_infer.model.anchors import anchor
from dps_infer.model.calibration import percentiles
from dps_infer.show.heatmap import local_values

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "clients" / "conformance"
AGAIN = "make the vectors again: python -m clients.conformance.make"

Outputs = dict[str, np.ndarray]
Run = Callable[[np.ndarray, np.ndarray, np.ndarray], Outputs]
"""A runtime: outputs of reference, distorted and importance."""


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    return json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def metric() -> Metric:
    return Metric.universal(importances={"size": 1.0}, device="cpu", threads=1)


def of(metric: Metric, given: dict[str, Any]) -> Metric:
    return metric.in_context(**{key: given[key] for key in given if key != "expected"})


def images(paths: list[str]) -> np.ndarray:
    return np.stack([load_picture(FOLDER / path, label=path).color for path in paths])


def differs(found: Any, expected: Any, tolerance: float) -> bool:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.size == expected.size
    least = max(1.0, float(np.abs(expected).max()))
    return not np.abs(found.ravel() - expected.ravel()).max() <= tolerance * least


def failures(
    run: Run, metric: Metric, vectors: dict[str, Any], *, cell: int | None = 0
) -> list[str]:
    """What a client gets wrong that runs the graph by `run`, and reads cells of another side."""
    tolerances = vectors["tolerances"]
    columns = metric.manifest.metric.amounts
    wrong = []

    def check(what: str, found: Any, expected: Any, kind: str = "measured") -> None:
        if differs(found, expected, tolerances[kind]):
            wrong.append(what)

    for case in vectors["cases"]:
        reference, distorted = images(case["references"]), images(case["candidates"])
        for stated in case["contexts"]:
            in_context = of(metric, vectors["contexts"][stated["context"]])
            importance = importance_vector(columns, in_context.importances)
            found = run(reference, distorted, importance)
            at = f"{case['name']} in {stated['context']}"
            for name in ("amounts", "strengths", "directions", "cells"):
                kind = "measured" if name == "amounts" else "read"
                check(f"{at}: {name}", found[name], case["expected"][name], kind)
            check(f"{at}: distance", found["distance"], stated["distance"])
            check(f"{at}: map", found["map"], stated["map"])
            for index, local in enumerate(stated["local"]["values"]):
                comparison = Comparison(
                    float(found["distance"][index]), {}, {}, {}, False, (), "",
                    map=np.asarray(found["map"][index]),
                )  # fmt: skip
                values = local_values(comparison, Placed(metric, cell), reference.shape[1:3])
                places = stated["local"]["y"], stated["local"]["x"]
                check(f"{at}: local", values[places], local)
    return wrong


class Placed:
    """A metric whose manifest states another size of cells."""

    def __init__(self, metric: Metric, cell: int | None) -> None:
        self.manifest = metric.manifest
        if cell != 0:
            self.manifest = msgspec.structs.replace(metric.manifest, cell=cell)


def by_dps_infer(metric: Metric) -> Run:
    def run(reference: np.ndarray, distorted: np.ndarray, importance: np.ndarray) -> Outputs:
        found = metric.runner.measure(
            reference,
            distorted,
            dict(zip(metric.manifest.metric.amounts, importance.tolist(), strict=True)),
            with_map=True,
        )
        return {
            "distance": found.distances,
            "amounts": found.amounts,
            "strengths": found.strengths,
            "directions": found.directions,
            "map": found.maps,
            "cells": found.cells,
        }

    return run


def test_vectors_are_of_the_embedded_file(vectors):
    data = embedded.UNIVERSAL.read_bytes()
    assert vectors["file"]["sha256"] == hashlib.sha256(data).hexdigest(), AGAIN


def test_images_are_those_that_are_drawn(vectors):
    drawn = make.cases()
    assert list(drawn) == [case["name"] for case in vectors["cases"]]
    for case in vectors["cases"]:
        for role, pixels in zip(("references", "candidates"), drawn[case["name"]], strict=True):
            np.testing.assert_array_equal(images(case[role]), np.stack(pixels), AGAIN)


def test_python_meets_them(vectors, metric):
    assert failures(by_dps_infer(metric), metric, vectors) == []


def test_openvino_meets_them(vectors, metric):
    openvino = pytest.importorskip("openvino", reason="needs the package openvino")
    core = openvino.Core()
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    model = core.compile_model(str(embedded.UNIVERSAL), "CPU", hints)

    def run(reference: np.ndarray, distorted: np.ndarray, importance: np.ndarray) -> Outputs:
        found = model({"reference": reference, "distorted": distorted, "importance": importance})
        names = ("distance", "amounts", "strengths", "directions", "map", "cells")
        return {name: found[name].copy() for name in names}

    assert failures(run, metric, vectors) == []


def test_a_client_that_swaps_channels_fails(vectors, metric):
    right = by_dps_infer(metric)

    def swapped(reference: np.ndarray, distorted: np.ndarray, importance: np.ndarray) -> Outputs:
        first, second = (np.ascontiguousarray(one[..., ::-1]) for one in (reference, distorted))
        return right(first, second, importance)

    wrong = failures(swapped, metric, vectors)
    assert any("amounts" in what for what in wrong)
    assert any("distance" in what for what in wrong)


@pytest.mark.parametrize("cell", [None, 32, 128])
def test_a_client_that_places_maps_wrongly_fails(vectors, metric, cell):
    wrong = failures(by_dps_infer(metric), metric, vectors, cell=cell)
    assert wrong
    assert all("local" in what for what in wrong)


def test_contexts_become_these_importances(vectors, metric):
    for given in vectors["contexts"]:
        found = of(metric, given).importances
        assert list(found) == list(given["expected"])
        assert not differs(
            list(found.values()),
            list(given["expected"].values()),
            vectors["tolerances"]["arithmetic"],
        )
    for given in vectors["refused"]:
        with pytest.raises(UsageError):
            metric.in_context(**given)


def test_readings_follow_from_the_calibration(vectors, metric):
    for reading in vectors["readings"]:
        context = of(metric, vectors["contexts"][reading["context"]])
        for distance, shares, anchors in zip(
            reading["distances"], reading["percentiles"], reading["anchors"], strict=True
        ):
            assert percentiles(distance, context.calibration) == pytest.approx(shares, abs=1e-9)
            for scale, stated in zip(context.scales, anchors, strict=True):
                found = anchor(distance, scale)
                assert (found.change, found.beyond) == (stated["change"], stated["beyond"])
                assert found.value == pytest.approx(stated["value"], rel=1e-9)


def test_translucent_images_are_compared_over_these(vectors):
    stated = vectors["decoding"]
    pictures = [load_picture(FOLDER / path, label=path) for path in stated["images"]]
    pair = make_pair(*pictures)
    found = [[image.ravel().tolist() for image in rendering] for rendering in pair.renderings]
    assert found == stated["renderings"]
    assert cv2.imread(str(FOLDER / stated["images"][0]), cv2.IMREAD_UNCHANGED).shape[2] == 4
