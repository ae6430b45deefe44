"""Run folders: complete and verified, or refused with a line that says why."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from train_helpers import levels, strict_json

from dps_infer.errors import DpsError, OutputError
from dps_infer.files.write import sha256_file
from dps_train.fit.run_folder import (
    MANIFEST,
    METRIC,
    METRICS,
    RunError,
    load_run,
    save_run,
)
from dps_train.fit.runs import free_name, newest_run
from dps_train.fit.training import Trained
from dps_train.model import pair_encoder
from dps_train.model.codes import ChannelCode, PairCode

SETTINGS = {"pairs": 20, "epochs": 1}


def refusal(function, *arguments: object) -> str:
    with pytest.raises(RunError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 1
    return message


LEFT_OUT = "left out"


def edit(folder: Path, **fields: object) -> None:
    """Change top-level fields of a run's manifest, or leave them out."""
    raw = {**json.loads((folder / MANIFEST).read_text()), **fields}
    kept = {key: value for key, value in raw.items() if value != LEFT_OUT}
    (folder / MANIFEST).write_text(json.dumps(kept))


@pytest.fixture(params=["trained", "trained_from_scratch"])
def either(request) -> Trained:
    """The embedded metric, adapted, or a head on fixed comparisons."""
    return request.getfixturevalue(request.param)


# --- writing and reading --------------------------------------------------------------


@torch.no_grad()
def test_what_is_saved_is_loaded(either, tmp_path):
    trained, run_folder = either, tmp_path / "run"
    save_run(run_folder, trained, settings=SETTINGS)
    metric, manifest = load_run(run_folder)
    assert not any(module.training for module in metric.modules())
    assert type(metric.head) is type(trained.metric.head)
    assert type(metric.comparison) is type(trained.metric.comparison)
    state = trained.metric.state_dict()
    assert state.keys() == metric.state_dict().keys()
    for key, value in metric.state_dict().items():
        assert torch.equal(value, state[key]), key
    images = (levels(4, 50, 40).permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    for loaded, original in zip(
        metric(images, images.flip(0)), trained.metric(images, images.flip(0)), strict=True
    ):
        assert torch.equal(loaded, original)
        assert loaded.max() > 0
    assert manifest.metric == trained.info
    assert manifest.calibration == trained.calibration
    assert manifest.ladders == list(trained.ladders)
    assert manifest.settings == SETTINGS


def test_a_network_is_described_by_what_it_needs(trained, trained_from_scratch, tmp_path):
    for name, made in (("embedded", trained), ("scratch", trained_from_scratch)):
        save_run(tmp_path / name, made, settings=SETTINGS)
    (adapted, its), (anew, other) = (load_run(tmp_path / name) for name in ("embedded", "scratch"))
    assert isinstance(adapted.comparison.code, PairCode)
    assert isinstance(anew.comparison.code, ChannelCode)
    assert its.metric.comparison == pair_encoder.NAME
    assert other.metric.comparison == "spatial+mean+layout"
    assert anew.comparison.code.length == trained_from_scratch.metric.comparison.code.length


def test_a_head_of_another_width_is_refused(trained_from_scratch, tmp_path):
    folder = tmp_path / "run"
    save_run(folder, trained_from_scratch, settings=SETTINGS)
    weights = safetensors.torch.load_file(folder / METRIC)
    weights["head.layers.shared.mean"] = weights["head.layers.shared.mean"][:-3].clone()
    safetensors.torch.save_file(weights, folder / METRIC)
    files = {name: sha256_file(folder / name) for name in (METRIC, METRICS)}
    edit(folder, files=files)
    with pytest.raises(DpsError, match=METRIC) as caught:
        load_run(folder)
    assert "\n" not in str(caught.value)


def test_a_run_holds_three_files_and_its_json_is_standard(trained, run_folder):
    assert {path.name for path in run_folder.iterdir()} == {MANIFEST, METRIC, METRICS}
    measures = strict_json((run_folder / METRICS).read_text())
    assert measures["score"]["mean"] == trained.measures.score.mean
    assert set(strict_json((run_folder / MANIFEST).read_text())["files"]) == {METRIC, METRICS}
    assert [path.name for path in run_folder.parent.iterdir()] == ["tiny"]


def test_equal_trainings_give_equal_bytes(trained, run_folder, tmp_path):
    save_run(tmp_path / "again", trained, settings=SETTINGS)
    for name in (MANIFEST, METRIC, METRICS):
        assert (tmp_path / "again" / name).read_bytes() == (run_folder / name).read_bytes()


def test_a_run_names_no_place_on_this_machine(run_folder, images_folder):
    places = [str(run_folder.parent), str(images_folder.parent), str(Path.cwd()), str(Path.home())]
    for path in run_folder.iterdir():
        content = path.read_bytes()
        assert not [place for place in places if len(place) > 1 and place.encode() in content]


def test_a_run_may_be_moved(run_folder, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(run_folder, moved)
    load_run(moved)


def test_an_existing_run_is_kept_without_force(trained, run_folder):
    before = (run_folder / MANIFEST).read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        save_run(run_folder, trained, settings={"epochs": 9})
    assert (run_folder / MANIFEST).read_bytes() == before
    save_run(run_folder, trained, settings={"epochs": 9}, force=True)
    assert load_run(run_folder)[1].settings == {"epochs": 9}
    assert [path.name for path in run_folder.parent.iterdir()] == ["tiny"]


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [MANIFEST, METRIC, METRICS])
def test_a_missing_file_is_named(run_folder, name):
    (run_folder / name).unlink()
    message = refusal(load_run, run_folder)
    assert f"{run_folder} lacks {name}" in message


@pytest.mark.parametrize("name", [METRIC, METRICS])
@pytest.mark.parametrize("change", ["flipped", "cut", "longer", "empty"])
def test_an_altered_file_is_named(run_folder, name, change):
    content = bytearray((run_folder / name).read_bytes())
    if change == "flipped":
        content[-20] ^= 1
    elif change == "cut":
        del content[-1:]
    elif change == "longer":
        content += b" "
    else:
        content.clear()
    (run_folder / name).write_bytes(content)
    message = refusal(load_run, run_folder)
    assert str(run_folder / name) in message
    assert "hash differs" in message


def test_the_files_of_another_run(trained, run_folder):
    edit(run_folder, files={METRIC: "0" * 64})
    assert "hash differs" in refusal(load_run, run_folder)


def test_an_older_format_is_refused_with_what_to_do(run_folder):
    edit(run_folder, format=3, hidden=96, ladders=LEFT_OUT)
    assert "train it again" in refusal(load_run, run_folder)


def test_a_newer_format_is_refused_as_such_whatever_its_fields(run_folder):
    edit(run_folder, format=1000, colour_space="linear", metric=LEFT_OUT)
    message = refusal(load_run, run_folder)
    assert "run format 1000" in message
    assert "upgrade" in message


@pytest.mark.parametrize(
    "fields",
    [{"more": 1}, {"ladders": LEFT_OUT}, {"ladders": "high"}, {"format": "1"}, {"files": []}],
    ids=str,
)
def test_a_manifest_with_wrong_fields(run_folder, fields):
    edit(run_folder, **fields)
    assert str(run_folder / MANIFEST) in refusal(load_run, run_folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_manifest_that_is_none(run_folder, content):
    (run_folder / MANIFEST).write_bytes(content)
    assert str(run_folder / MANIFEST) in refusal(load_run, run_folder)


def test_importances_that_are_not_those_of_the_metric(run_folder):
    # The head holds them too; a context file made of both would contradict itself.
    raw = json.loads((run_folder / MANIFEST).read_text())
    raw["metric"]["importances"]["blur"] *= 3
    edit(run_folder, metric=raw["metric"])
    refusal(load_run, run_folder)


def test_what_is_no_run_folder(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    assert "no run folder" in refusal(load_run, tmp_path / "none")
    assert "no run folder" in refusal(load_run, tmp_path / "file")
    assert f"lacks {MANIFEST}" in refusal(load_run, tmp_path / "empty")


# --- finding --------------------------------------------------------------------------


def finished(parent: Path, name: str, seconds: int) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    os.utime(folder / MANIFEST, (seconds, seconds))
    return folder


def test_the_newest_run_is_the_one_finished_last(tmp_path):
    finished(tmp_path, "z", 100)
    newest = finished(tmp_path, "m", 300)
    finished(tmp_path, "a", 200)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "file").write_text("")
    os.utime(tmp_path / "z", (900, 900))
    assert newest_run(tmp_path) == newest


def test_what_is_still_written_is_no_run(tmp_path):
    finished(tmp_path, ".m-abc.part", 900)
    assert "holds no run" in refusal(newest_run, tmp_path)
    done = finished(tmp_path, "m", 100)
    assert newest_run(tmp_path) == done


def test_no_run_at_all(tmp_path):
    for parent in (tmp_path, tmp_path / "none"):
        message = refusal(newest_run, parent)
        assert str(parent) in message
        assert "dps-train" in message


def test_names_that_are_taken_get_a_number(tmp_path):
    for expected in ("color-blur", "color-blur-2", "color-blur-3"):
        folder = free_name(tmp_path, "color-blur")
        assert folder == tmp_path / expected
        folder.mkdir()
