"""What shares a run: images of one size, as many as memory allows."""

from __future__ import annotations

import numpy as np
import pytest

from dps_infer.compare import pairs

SIDE = 8


def rendering(number: int, reference: np.ndarray | None = None):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    return number, image.copy() if reference is None else reference, image


@pytest.fixture
def room_for_four(monkeypatch):
    monkeypatch.setattr(pairs, "PIXELS_PER_RUN", 4 * SIDE**2)


def numbers(renderings) -> list[list[int]]:
    return [
        [number for number, _, _ in run.renderings]
        for run in pairs._runs(renderings, on_cuda=False)
    ]


def test_pairs_fill_a_run_with_both_their_images(room_for_four):
    assert numbers([rendering(n) for n in range(5)]) == [[0, 1], [2, 3], [4]]


def test_candidates_of_one_reference_fill_a_run_alone(room_for_four):
    shared = np.zeros((SIDE, SIDE, 3), np.uint8)
    renderings = [rendering(n, shared) for n in range(6)]
    assert numbers([*renderings, rendering(6)]) == [[0, 1, 2, 3], [4, 5], [6]]


def test_an_image_that_is_too_large_still_runs(monkeypatch):
    monkeypatch.setattr(pairs, "PIXELS_PER_RUN", 1)
    shared = np.zeros((SIDE, SIDE, 3), np.uint8)
    for renderings in ([rendering(0), rendering(1)], [rendering(0, shared), rendering(1, shared)]):
        assert numbers(renderings) == [[0], [1]]


def test_it_is_told_how_many_candidates_a_reference_has(room_for_four):
    shared, few = (np.zeros((SIDE, SIDE, 3), np.uint8) for _ in range(2))
    renderings = [rendering(n, shared) for n in range(5)]
    renderings += [rendering(5, few), rendering(6, few), rendering(7)]
    found = list(pairs._runs(renderings, on_cuda=False))
    assert [len(run.renderings) for run in found] == [4, 1, 2, 1]
    assert [run.candidates for run in found] == [5, 5, 2, 1]


def test_cuda_runs_more_at_a_time(room_for_four, monkeypatch):
    monkeypatch.setattr(pairs, "PIXELS_PER_RUN_ON_CUDA", 8 * SIDE**2)
    found = list(pairs._runs([rendering(n) for n in range(5)], on_cuda=True))
    assert [len(run.renderings) for run in found] == [4, 1]
