"""`dps-train evaluate` gives the same measures for an exported file as for its run."""

from __future__ import annotations

import json

import pytest
from train_helpers import write_images
from triplet_helpers import write_bapps

UNKNOWN = {"baseline", "baseline_pairs", "improved", "stability"}
"""Measures that a context file does not report."""


@pytest.fixture
def measured(run_main, tmp_path):
    data = write_images(tmp_path / "images", 4)

    def run(*arguments: object) -> dict:
        report = tmp_path / "measures.json"
        code, _, err = run_main(
            "dps_train.cli", "evaluate", *arguments, "--data", data, "--device", "cpu",
            "--json", report, "--force",
        )  # fmt: skip
        assert code == 0, err
        return json.loads(report.read_text())

    return run


def test_a_run_and_its_exported_file_agree(run_folder, exported, measured, tmp_path):
    bapps = write_bapps(tmp_path / "bapps")
    run = measured(run_folder, "--bapps", bapps)
    file = measured(exported, "--bapps", bapps)
    assert {name for name, value in file.items() if value is None} == UNKNOWN
    assert run["pairs"]
    # Rounding may turn a few of the 16 draws x 4 images of a pair that are nearly equal.
    for name, within in (
        ("score", 0.01), ("ceiling", 0), ("pairs", 2 / 64), ("named", 2 / 16),
        ("monotonicity", 0.01), ("retention", 0.01),
    ):  # fmt: skip
        assert file[name] == pytest.approx(run[name], abs=within), name
    assert file["composition"] == pytest.approx(run["composition"], abs=0.02)
    assert file["bapps"] == run["bapps"]
    tiles = measured(exported, "--view", "tiles")
    # One measure alone may be the same by chance: the scores of so few images have few values.
    marks = ("score", "named", "monotonicity", "composition", "retention")
    assert [tiles[name] for name in marks] != [file[name] for name in marks]


def test_a_plain_file_has_but_its_own_context(run_main, exported):
    code, out, err = run_main("dps_train.cli", "evaluate", exported, "--rankings", "3")
    assert (code, out) == (2, "")
    assert "frozen into it" in err.splitlines()[-1]
