"""The command line of the benchmarks: the list, the options, and failures."""

from __future__ import annotations

import re

import pytest

from benchmarks.shared import suite
from benchmarks.shared.record import RECORDS
from dps_infer.errors import DeviceError


def test_all_benchmarks_are_listed_with_a_line_each(cli):
    code, out, _ = cli()
    assert code == 0
    for name in suite.modules():
        assert re.search(rf"^ +{name} +\w.*\.$", out, re.MULTILINE), name
    assert "accuracy" in suite.modules()
    assert "throughput" in suite.modules()


@pytest.mark.parametrize("name", suite.modules())
def test_help_of_every_benchmark(cli, name):
    code, out, _ = cli(name, "--help")
    assert code == 0
    assert "--record FILE" in out
    assert "--debug" in out


def test_an_unknown_benchmark_is_a_usage_error(cli):
    code, out, err = cli("speed_of_light")
    assert code == 2
    assert out == ""
    assert "speed_of_light" in err


def test_options_are_checked(cli, tmp_path):
    code, _, err = cli("backbone_speed", "--rounds", 0, "--record", tmp_path / "record.json")
    assert code == 2
    assert "--rounds" in err


def test_a_benchmark_that_fails_leaves_the_last_record(cli, monkeypatch, tmp_path):
    path = tmp_path / "gallery.json"
    assert cli("gallery", "--record", path)[0] == 0
    before = path.read_bytes()

    def fail():
        raise DeviceError("the plug was pulled")

    monkeypatch.setattr(suite.load("gallery"), "measure", fail)
    code, out, err = cli("gallery", "--record", path)
    assert (code, out) == (1, "")
    assert "the plug was pulled" in err
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_that_cannot_be_written_is_found_out_before_measuring(cli, monkeypatch, tmp_path):
    def fail():
        raise AssertionError("measured in vain")

    monkeypatch.setattr(suite.load("gallery"), "measure", fail)
    code, _, err = cli("gallery", "--record", tmp_path)
    assert code == 1
    assert "cannot write" in err


def test_records_belong_to_benchmarks():
    assert {path.stem for path in RECORDS.glob("*")} <= set(suite.modules())
