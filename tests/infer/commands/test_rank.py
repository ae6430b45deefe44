"""`rank`: the closest candidate first."""

from __future__ import annotations

import json

import numpy as np
import pytest
from infer_helpers import encode

from dps_infer.compare.candidates import rank_candidates

STEPS = {"far": 60, "near": 10, "same": 0, "twin": 10}


@pytest.fixture
def images(tmp_path):
    """Gray candidates whose green is brighter than that of the reference by a step."""
    gray = np.full((12, 16, 3), 100, np.uint8)
    paths = {}
    for name, step in {"reference": 0, **STEPS}.items():
        paths[name] = tmp_path / f"{name}.png"
        paths[name].write_bytes(encode(".png", gray + np.array([0, step, 0], np.uint8)))
    return paths


def test_the_closest_comes_first_and_ties_share_a_rank(cli, images, context_path):
    candidates = [images[name] for name in STEPS]
    outcome = cli("rank", images["reference"], *candidates, "--context", context_path)
    assert outcome.code == 0
    head, *rows, last = outcome.out.splitlines()
    assert head.split() == ["rank", "candidate", "distance"]
    assert [tuple(row.split()[:3]) for row in rows] == [
        ("1", str(images["same"]), "0"),
        ("2", str(images["near"]), "0.039"),
        ("2", str(images["twin"]), "0.039"),
        ("4", str(images["far"]), "0.24"),
    ]
    assert last.startswith("context fake: ")


def test_the_first_context_decides_the_order(cli, tmp_path, universal_path):
    gray = np.full((12, 16, 3), 100, np.uint8)
    changes = {"reference": (0, 0, 0), "green": (0, 20, 0), "red": (20, 0, 0)}
    for name, change in changes.items():
        pixels = gray + np.array(change, np.uint8)
        (tmp_path / f"{name}.png").write_bytes(encode(".png", pixels))
    reference, green, red = (tmp_path / f"{name}.png" for name in changes)
    rankings = ("rotate,color,blur", "blur,color,rotate")
    for first, second, order in (
        (*rankings, [red, green]),
        (*reversed(rankings), [green, red]),
    ):
        given = ("--context", universal_path, "--ranking", first, "--ranking", second)
        record = cli("rank", reference, green, red, *given, "--json").record
        assert [place["candidate"] for place in record["candidates"]] == [str(p) for p in order]
        assert list(record["contexts"]) == [first.replace(",", "-"), second.replace(",", "-")]
        closest = record["candidates"][0]["results"]
        assert (
            closest[first.replace(",", "-")]["distance"]
            < (closest[second.replace(",", "-")]["distance"])
        )


def test_a_bad_candidate_is_one_line(cli, images, context_path, tmp_path):
    (tmp_path / "bad.png").write_text("hello")
    outcome = cli(
        "rank", images["reference"], images["near"], tmp_path / "bad.png", "--context", context_path
    )
    assert outcome.code == 1
    assert "bad.png: is not an image" in outcome.error_line


def test_ranking_in_python(images, context):
    candidates = [images[name] for name in STEPS]
    ranked = rank_candidates(images["reference"], candidates, {"fake": context})
    assert [(place.rank, place.index) for place in ranked] == [(1, 2), (2, 1), (2, 3), (4, 0)]
    assert ranked[0].comparisons["fake"].identical


def test_every_digit_is_kept(cli, images, context_path, context):
    outcome = cli("rank", images["reference"], images["far"], "--context", context_path, "--json")
    (place,) = json.loads(outcome.out)["candidates"]
    expected = context.compare(images["reference"], images["far"])
    assert place["results"]["fake"]["distance"] == expected.distance
    assert place["results"]["fake"]["parts"] == expected.parts
