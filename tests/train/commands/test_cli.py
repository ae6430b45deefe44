"""The command line `dps-train`: results on stdout, one line an error, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from train_helpers import TINY, strict_json, write_images

from dps_train.data.contact_sheet import LONGEST, MOST_PIXELS, reduced, row_title, shown_share
from dps_train.data.sources import photograph
from dps_train.distortions.paper import DISTORTIONS, NAMES
from dps_train.fit.run_folder import MANIFEST, RunError, load_run
from dps_train.fit.runs import newest_run
from dps_train.fit.settings import PAIRS, Settings
from dps_train.model.codes import ChannelCode, PairCode
from dps_train.model.embedded.embedded_metric import load_universal

HELPERS = str(Path(__file__).parents[1])

WITH_STAND_INS = f"""
import contextlib
import sys
from pathlib import Path

sys.path.insert(0, {HELPERS!r})
from train_helpers import instead_of_the_real, measured_quickly
from dps_train.cli import main

kept = contextlib.ExitStack()
kept.enter_context(instead_of_the_real(tuple(map(Path, sys.argv[1:4]))))
kept.enter_context(measured_quickly())
del sys.argv[1:4]
"""
"""Code for a separate process, which does not see the fixtures that replace the real weights."""


@pytest.fixture(scope="module")
def done(images_folder, stand_ins, tmp_path_factory):
    """One training in a process of its own: its folder and the process."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    process = subprocess.run(
        [sys.executable, "-c", WITH_STAND_INS + "main()", *stand_ins,
         "--ranking", "3,1=5,0", "--data", str(images_folder), *TINY,
         "--out", str(folder), "--json"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return folder, process


# --- training -------------------------------------------------------------------------


def test_a_training_from_the_shell(done):
    folder, process = done
    assert process.returncode == 0, process.stderr
    measures = strict_json(process.stdout)
    before = measures.pop("before")
    assert before.keys() == measures.keys()
    assert before["ceiling"] == measures["ceiling"]
    assert before["stability"] != measures["stability"]
    assert set(measures["pairs"]) == {
        "color>translate", "color>zoom", "color>rotate", "translate>rotate", "zoom>rotate",
    }  # fmt: skip
    assert set(measures["monotonicity"]) == set(NAMES)
    for name in ("score", "baseline", "ceiling"):
        spread = measures[name]
        assert 0 <= spread["min"] <= spread["mean"] <= spread["max"] <= 1
    assert measures == strict_json((folder / "metrics.json").read_text())
    _, manifest = load_run(folder)
    assert manifest.metric.ranking == [["color"], ["translate", "zoom"], ["rotate"]]


def test_it_echoes_how_it_understood_the_ranking_and_where_the_run_is(done):
    folder, process = done
    # A slow machine adds lines of progress.
    lines = [line for line in process.stderr.splitlines() if line.startswith("dps-train: r")]
    assert len(lines) == 2, process.stderr
    assert "color < translate = zoom < rotate" in lines[0]
    assert str(folder) in lines[1]


def test_nothing_is_left_beside_the_run(done):
    folder, _ = done
    assert [path.name for path in folder.parent.iterdir()] == ["first"]


def test_equal_commands_give_equal_runs(cli, done, images_folder, tmp_path):
    folder, process = done
    again = cli(
        "--ranking", " COLOR , 1 = zoom , rotate", "--data", images_folder, *TINY,
        "--out", tmp_path / "first", "--json",
    )  # fmt: skip
    assert again.code == 0, again.err
    assert again.out == process.stdout
    for name in ("metric.safetensors", "manifest.json", "metrics.json"):
        assert (tmp_path / "first" / name).read_bytes() == (folder / name).read_bytes(), name


def test_tables_for_people(cli, images_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    outcome = cli("--ranking", "4,2", "--data", images_folder, *TINY, "--seed", 3)
    assert outcome.code == 0, outcome.err
    heading = next(line for line in outcome.out.splitlines() if "measure" in line)
    assert heading.split() == ["measure", "of", "before", "after", "good"]
    for word in ("score", "unadapted", "ceiling", "darken", "monotonicity", "stability"):
        assert word in outcome.out
    # A run has a name of its own by default, and the next one does not overwrite it.
    first = newest_run()
    assert first.parent == Path("runs")
    assert str(first) in outcome.err
    assert load_run(first)[1].metric.seed == 3
    outcome = cli("--ranking", "4,2", "--data", images_folder, *TINY, "--from", "scratch")
    assert outcome.code == 0, outcome.err
    assert len(list(Path("runs").iterdir())) == 2
    for word in ("unadapted", "adapted", "noise ceiling", "blur", "monotonicity", "stability"):
        assert word in outcome.out
    assert "before" not in outcome.out


def test_from_scratch_there_is_no_before(cli, images_folder, tmp_path):
    outcome = cli(
        "--ranking", "4,2", "--from", "scratch", "--data", images_folder, *TINY,
        "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.record == strict_json((tmp_path / "run" / "metrics.json").read_text())
    metric, manifest = load_run(tmp_path / "run")
    assert isinstance(metric.comparison.code, ChannelCode)
    assert manifest.metric.backbone == "embedded"


def test_adapting_keeps_the_network_and_changes_the_head(done):
    folder, _ = done
    adapted, start = load_run(folder)[0], load_universal()
    assert isinstance(adapted.comparison.code, PairCode)
    for part in ("backbone", "comparison.code"):
        state = adapted.get_submodule(part).state_dict()
        for name, value in start.get_submodule(part).state_dict().items():
            assert torch.equal(state[name], value), name
    for part in ("head.layers", "comparison.cell_head"):
        for name, value in start.get_submodule(part).named_parameters():
            assert not torch.equal(adapted.get_submodule(part).get_parameter(name), value), name


@pytest.mark.parametrize(
    ("arguments", "start", "pairs"),
    [
        ((), "embedded", PAIRS["embedded"]),
        (("--from", "embedded"), "embedded", PAIRS["embedded"]),
        (("--from", "embedded", "--size", "64", "--backbone", "embedded"), "embedded",
         PAIRS["embedded"]),
        (("--from", "scratch"), "scratch", PAIRS["scratch"]),
        (("--backbone", "squeezenet1_1"), "scratch", PAIRS["scratch"]),
        (("--layers", "stage1,stage2"), "scratch", PAIRS["scratch"]),
        (("--weights", "w.safetensors"), "scratch", PAIRS["scratch"]),
        (("--size", "native"), "scratch", PAIRS["scratch"]),
        (("--pairs", "123"), "embedded", 123),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_what_a_training_starts_from(cli, tmp_path, monkeypatch, arguments, start, pairs):
    monkeypatch.chdir(tmp_path)
    asked = []

    def record(settings: Settings, *_arguments: object) -> None:
        asked.append(settings)
        raise RunError("far enough")

    monkeypatch.setattr("dps_train.fit.training.train", record)
    assert cli("--ranking", "3,1", *arguments).error_line == "dps-train: error: far enough"
    (settings,) = asked
    assert (settings.from_embedded, settings.bank_pairs) == (start == "embedded", pairs)


@pytest.mark.parametrize("text", ["color=0.1,blur=5,other=0.2", "other=1"])
def test_importances_instead_of_a_ranking(cli, images_folder, tmp_path, text):
    outcome = cli(
        "--importance", text, "--data", images_folder, *TINY, "--out", tmp_path / "run", "--json"
    )
    assert outcome.code == 0, outcome.err
    assert text in outcome.err.splitlines()[0]
    measures = outcome.record
    assert measures.pop("before").keys() == measures.keys()
    assert measures == strict_json((tmp_path / "run" / "metrics.json").read_text())
    metric, manifest = load_run(tmp_path / "run")
    assert manifest.metric.ranking is None
    assert metric.head.importances.tolist() == pytest.approx(
        list(manifest.metric.importances.values()), rel=1e-7
    )


def test_another_folder_to_measure_on_and_the_images_own_size(cli, images_folder, tmp_path):
    other = write_images(tmp_path / "other", 2)
    outcome = cli(
        "--ranking", "3,4", "--data", images_folder, "--test-data", other, "--size", "native",
        *TINY, "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.record["images"] == 2
    info = load_run(tmp_path / "run")[1].metric
    assert info.working_size is None
    assert info.held_out_data.source == "other"


# --- usage ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--ranking 3,1,5,0,2,4"),
        (("--ranking", "3"), "at least two distortions"),
        (("--ranking", "3,3"), "color appears 2 times"),
        (("--ranking", "3,blurr"), "did you mean blur?"),
        (("--ranking", "3,14"), "unknown distortion '14'"),
        (("--ranking", "3," + "9" * 5000), "unknown distortion"),
        (("--importance", "color"), "no importance"),
        (("--importance", "color=-1"), "from 1e-09 to 1e+09"),
        (("--ranking", "3,1", "--importance", "color=1"), "give one"),
        (("--ranking", "3,1", "--size", "8"), "--size"),
        (("--ranking", "3,1", "--size", "large"), "--size"),
        (("--ranking", "3,1", "--backbone", "squeezenet9"), "unknown backbone"),
        (("--ranking", "3,1", "--layers", "stage9"), "'stage9'"),
        (("--ranking", "3,1", "--data", "no/such/folder"), "no/such/folder is not a folder"),
        (("--ranking", "3,1", "--from", "embedded", "--size", "32"), "--from scratch"),
        (("--ranking", "3,1", "--from", "embedded", "--size", "native"), "--from scratch"),
        (("--ranking", "3,1", "--from", "embedded", "--backbone", "vgg11"), "--from scratch"),
        (("--ranking", "3,1", "--from", "embedded", "--layers", "stage1"), "--from scratch"),
        (("--ranking", "3,1", "--from", "embedded", "--weights", "w"), "--from scratch"),
        (("--ranking", "3,1", "distortions"), "--ranking"),
        (("evaluate", "--rankings", "721"), "--rankings"),
        (("evaluate", "--rankings", "few"), "--rankings"),
        (("evaluate", "embedded", "--rankings", "0"), "--rankings"),
        (("evaluate", "embedded", "--rankings", "own"), "no context of its own"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else None,
)
def test_usage_errors(cli, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    outcome = cli(*arguments)
    assert message in outcome.error_line
    assert outcome.code == 2
    echo = outcome.err.splitlines()[:-1]
    assert all(line.startswith("dps-train: ranking ") for line in echo)
    assert len(echo) <= 1
    assert list(tmp_path.iterdir()) == []


WITHOUT_TORCH = """
import sys
import time
from dps_train.cli import main

try:
    main()
finally:
    print(time.process_time(), *sys.modules)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--ranking", "nonsense"),
        ("--ranking", "3"),
        ("--importance", "color"),
        ("--context-name", "no-such-context"),
        ("--ranking", "3,1", "--importance", "color=1"),
        ("--ranking", "3,1", "distortions"),
        ("--ranking", "3,1", "--size", "8"),
        ("--ranking", "3,1", "--comparison", "spatial+fancy"),
        ("--ranking", "3,1", "--from", "embedded", "--backbone", "vgg11"),
        ("--ranking", "3,1", "--variant", "lin", "--resume"),
        ("--ranking", "3,1", "--data", "no/such/folder"),
        ("--triplets", "none.csv"),
        ("study", "--out", "s", "--variants", "best"),
        ("study", "--out", "s", "--rankings", "721"),
    ],
    ids=" ".join,
)
def test_usage_errors_are_reported_before_torch_is_loaded(tmp_path, arguments):
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert process.returncode == 2, process.stderr
    assert process.stderr.startswith("dps-train: error: ")
    seconds, *modules = process.stdout.split()
    assert not {"torch", "torchvision", "scipy", "lightning"} & set(modules)
    # Torch alone takes several seconds of processor time.
    assert float(seconds) < 1.5


@pytest.mark.parametrize(
    "arguments", [("--pairs", "5"), ("--epochs", "0"), ("--seed", "-1"), ("--seed", "9" * 20),
                  ("--device", "tpu"), ("--colour", "3"), ("--from", "nothing")]
)  # fmt: skip
def test_options_that_typer_refuses(cli, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    outcome = cli("--ranking", "3,1", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert arguments[0] in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_exit_codes(cli):
    outcome = cli("--help")
    assert outcome.code == 0
    for text in (
        "--ranking",
        "--importance",
        "--from",
        "--weights",
        "0 done",
        "1 something broke",
        "2 wrong usage",
    ):
        assert text in outcome.out


# --- failures -------------------------------------------------------------------------


def test_an_existing_output_is_refused_and_kept(cli, done, images_folder):
    folder, _ = done
    before = (folder / MANIFEST).read_bytes()
    outcome = cli("--ranking", "0,1", "--data", images_folder, *TINY, "--out", folder)
    assert "exists already" in outcome.error_line
    assert outcome.code == 1
    assert (folder / MANIFEST).read_bytes() == before


def test_an_existing_run_is_replaced_with_force(cli, images_folder, tmp_path):
    out = ("--data", images_folder, *TINY, "--out", tmp_path / "run", "--json")
    assert cli("--ranking", "0,1", *out).code == 0
    assert cli("--ranking", "1,0", *out, "--force").code == 0
    assert load_run(tmp_path / "run")[1].metric.ranking == [["translate"], ["rotate"]]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("force", [(), ("--force",)], ids=["plain", "force"])
@pytest.mark.parametrize("out", ["file", "file/run", "n" * 300], ids=["file", "below", "long"])
def test_outputs_that_cannot_be_are_refused_before_the_work(cli, tmp_path, monkeypatch, out, force):
    def work(*_arguments: object) -> None:
        raise AssertionError("the output should have been looked at first")

    monkeypatch.setattr("dps_train.fit.training.train", work)
    (tmp_path / "file").write_text("mine")
    outcome = cli("--ranking", "3,1", "--out", tmp_path / out, *force)
    assert str(tmp_path / out) in outcome.error_line
    assert outcome.code == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_bad_images_and_weights_are_named(cli, images_folder, tmp_path):
    folder = write_images(tmp_path / "set")
    (folder / "broken.png").write_bytes(b"no image")
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    for named, arguments in (
        (folder / "broken.png", ("--data", folder)),
        (tmp_path / "weights.safetensors",
         ("--data", images_folder, "--weights", tmp_path / "weights.safetensors")),
        (tmp_path / "none", ("--data", images_folder, "--weights", tmp_path / "none")),
    ):  # fmt: skip
        outcome = cli("--ranking", "3,1", *arguments, *TINY, "--out", tmp_path / "run")
        assert str(named) in outcome.error_line
        assert outcome.code == 1
        assert not (tmp_path / "run").exists()


@pytest.fixture
def squeezenet(images_folder, tmp_path) -> tuple[object, ...]:
    """Options that train on a SqueezeNet of random weights from a file."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    path = tmp_path / "full.safetensors"
    safetensors.torch.save_file(state, path)
    return (
        "--ranking", "3,1", "--backbone", "squeezenet1_1", "--weights", path,
        "--data", images_folder, *TINY, "--out", tmp_path / "run", "--json",
    )  # fmt: skip


def test_weights_from_a_file(cli, squeezenet, tmp_path):
    outcome = cli(*squeezenet, "--layers", "features.1,features.4")
    assert outcome.code == 0, outcome.err
    metric, manifest = load_run(tmp_path / "run")
    assert manifest.metric.layers == ["features.1", "features.4"]
    assert manifest.metric.weights.source == "full.safetensors"
    state = safetensors.torch.load_file(tmp_path / "full.safetensors")
    assert torch.equal(
        metric.backbone.network.state_dict()["features.0.bias"], state["features.0.bias"]
    )


def test_a_layer_that_gives_no_map(cli, squeezenet, tmp_path):
    outcome = cli(*squeezenet, "--layers", "features.1,flatten")
    assert "flatten" in outcome.error_line
    assert outcome.code == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there(cli, images_folder, tmp_path):
    outcome = cli(
        "--ranking", "3,1", "--data", images_folder, "--device", "cuda", "--out", tmp_path / "run"
    )
    assert "CUDA" in outcome.error_line
    assert outcome.code == 1
    assert not (tmp_path / "run").exists()


HANGING = (
    WITH_STAND_INS
    + """
import time
import dps_train.fit.run_folder as runs

def hang(path):
    print("half", flush=True)
    time.sleep(60)

runs.sha256_file = hang
main()
"""
)


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
def test_a_killed_training_leaves_no_run(images_folder, stand_ins, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, *stand_ins, "--ranking", "3,1", "--data",
         str(images_folder), *TINY, "--out", str(tmp_path / "runs" / "killed")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "runs" / "killed").exists()
    left = [path.name for path in (tmp_path / "runs").iterdir()]
    assert left
    assert all(name.startswith(".") for name in left)
    with pytest.raises(RunError, match="holds no run"):
        newest_run(tmp_path / "runs")


# --- distortions ----------------------------------------------------------------------


def test_the_list_of_distortions(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    outcome = cli("distortions")
    assert outcome.code == 0
    for number, name in enumerate(NAMES):
        row = next(line for line in outcome.out.splitlines() if f" {name} " in line)
        assert row.split()[0] == str(number)
    assert "30 to 330" in outcome.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".WEBP"])
def test_a_sheet_of_the_users_image(cli, images_folder, tmp_path, suffix):
    sheet = tmp_path / f"sheet{suffix}"
    outcome = cli("distortions", images_folder / "0.png", "--sheet", sheet)
    assert outcome.code == 0, outcome.err
    assert str(sheet) in outcome.err
    pixels = cv2.imread(str(sheet))
    assert pixels is not None
    assert pixels.shape[0] > 6 * 100
    assert pixels.shape[1] > 5 * 100
    assert [path.name for path in tmp_path.iterdir()] == [sheet.name]


def test_a_sheet_is_named_by_itself_and_shows_another_image_otherwise(
    cli, images_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert cli("distortions", images_folder / "0.png").code == 0
    assert cli("distortions", "--sheet", "cat.png").code == 0
    first, cat = cv2.imread("distortions.png"), cv2.imread("cat.png")
    height, width = photograph("chelsea").shape[:2]
    assert cat.shape[0] > 6 * height > first.shape[0]
    assert cat.shape[1] > 6 * width > first.shape[1]


def test_a_sheet_shows_the_image_pixel_by_pixel(cli, tmp_path):
    """In every row, the original is there as it is."""
    image = np.random.default_rng(0).integers(0, 256, (150, 230, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), image)
    assert cli("distortions", tmp_path / "photo.png", "--sheet", tmp_path / "sheet.png").code == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    row = sheet.shape[0] // 6
    for number in range(6):
        part = sheet[number * row :][:row]
        _, _, (left, top), _ = cv2.minMaxLoc(cv2.matchTemplate(part, image, cv2.TM_SQDIFF))
        assert np.array_equal(part[top : top + 150, left : left + 230], image), number


def test_a_large_photograph_is_reduced_for_its_sheet():
    image = np.zeros((3000, 4000, 3), np.uint8)
    share = shown_share(image, rows=6)
    assert 0.3 < share < 0.5
    assert reduced(image, 6).shape == (int(3000 * share), int(4000 * share), 3)
    assert 36 * reduced(image, 6)[..., 0].size <= MOST_PIXELS
    # Long strips are limited by the side of the sheet.
    assert 6 * reduced(np.zeros((10, 20_000, 3), np.uint8), 6).shape[1] <= LONGEST
    small = np.zeros((30, 40, 3), np.uint8)
    assert reduced(small, 6) is small


def test_a_strength_in_pixels_states_the_size_that_it_is_meant_for():
    blur, zoom = DISTORTIONS[4], DISTORTIONS[5]
    assert row_title(4, blur) == "4 blur: Gaussian sigma in pixels of an image with 64 x 64"
    assert row_title(5, zoom) == "5 zoom: scale above 1"


def test_sheets_that_cannot_be_written(cli, images_folder, tmp_path):
    (tmp_path / "old.png").write_bytes(b"old")
    for name, message in (("sheet.txt", ".png"), ("sheet", ".png"), ("old.png", "exists already")):
        outcome = cli("distortions", images_folder / "0.png", "--sheet", tmp_path / name)
        assert message in outcome.error_line
        assert outcome.code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]
    assert (tmp_path / "old.png").read_bytes() == b"old"


def test_an_image_that_cannot_be_read(cli, tmp_path):
    outcome = cli("distortions", tmp_path / "none.png", "--sheet", tmp_path / "sheet.png")
    assert str(tmp_path / "none.png") in outcome.error_line
    assert outcome.code == 1
    assert list(tmp_path.iterdir()) == []
