"""A distortion of the user's own from training to comparing, by the command lines."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from train_helpers import photos

from dps_export import export
from dps_export.export import export_run
from dps_export.freeze import freeze
from dps_infer import Metric
from dps_infer.contexts import folders
from dps_infer.contexts.context import ranking_context
from dps_infer.contexts.ranking import KINDS, parse_ranking
from dps_infer.errors import UsageError
from dps_train.custom.custom_distortion import all_distortions
from dps_train.custom.find import find_custom
from dps_train.distortions.paper import NAMES
from dps_train.fit.run_folder import load_run, save_run
from dps_train.fit.settings import Settings
from dps_train.fit.training import train
from dps_train.judge.server import Server
from dps_train.model.embedded.embedded_metric import load_universal

JPEG = str(Path(__file__).parents[3] / "examples" / "jpeg_distortion.py")
RANKING = "jpeg,color,translate,zoom,rotate,darken,blur"
QUICK = ("--pairs", "100", "--epochs", "1", "--device", "cpu")


pytestmark = pytest.mark.usefixtures("real_weights")


@pytest.fixture(scope="module")
def run(images_folder, tmp_path_factory) -> Path:
    own = find_custom([JPEG])
    names = tuple(distortion.name for distortion in all_distortions(own))
    settings = Settings(
        context=ranking_context(parse_ranking(RANKING, names), names),
        custom=own,
        data=str(images_folder),
        pairs=20,
        epochs=1,
        device="cpu",
    )
    folder = tmp_path_factory.mktemp("own") / "run"
    save_run(folder, train(settings, "own"), settings={})
    return folder


def compressed(image: np.ndarray) -> np.ndarray:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def test_a_run_keeps_the_six_as_they_were(run):
    metric, manifest = load_run(run)
    assert manifest.metric.amounts == [*KINDS, "jpeg", "other", "size"]
    assert manifest.metric.distortions[-1].name == "jpeg"
    assert manifest.metric.distortions[-1].range is not None
    older = load_universal().head.state_dict()
    for name, value in metric.head.older.state_dict().items():
        if name != "importances":
            assert torch.equal(value, older[name]), name


def test_exported_it_explains_and_takes_rankings(run, tmp_path, monkeypatch):
    plain, universal = tmp_path / "plain.onnx", tmp_path / "universal.onnx"
    model = freeze(load_run(run)[0]).SerializeToString()
    # Tracing takes most of an export's time, and both files have one graph.
    monkeypatch.setattr(export, "freeze", lambda _metric: onnx.load_from_string(model))
    export_run(run, plain)
    export_run(run, universal, universal=True)
    image = photos(1, 70, 80)[0].numpy()
    comparison = Metric.load(plain, device="cpu").compare(image, compressed(image))
    assert list(comparison.parts) == [*KINDS, "jpeg", "other"]
    assert sum(comparison.parts.values()) == pytest.approx(comparison.distance, rel=1e-5)
    assert "jpeg" in comparison.percentiles
    same = Metric.load(universal, ranking=RANKING, device="cpu")
    again = same.compare(image, compressed(image))
    assert again.distance == pytest.approx(comparison.distance, rel=1e-5)
    other = same.in_context(ranking="blur,jpeg").compare(image, compressed(image))
    assert other.amounts == again.amounts
    assert other.distance != again.distance
    assert same.compare(image, image).distance == 0


def test_evaluating_needs_the_distortion_again(cli, run, images_folder, tmp_path):
    refused = cli("evaluate", run, "--rankings", "2", "--data", images_folder)
    assert refused.code == 2
    assert "knows jpeg, which cannot be applied here" in refused.err
    report = tmp_path / "measures.json"
    options = ("--distortions", JPEG, "--data", images_folder)
    outcome = cli("evaluate", run, *options, "--rankings", "all", "--json", report)
    assert outcome.code == 0, outcome.err
    measures = json.loads(report.read_text())
    assert measures["rankings"] == 5040
    assert set(measures["named"]) == {*NAMES, "jpeg"}
    assert "jpeg" not in measures["retention"]
    assert "jpeg>blur" in measures["pairs"]


def test_it_can_be_judged_and_fitted(cli, run, images_folder, tmp_path, monkeypatch):
    asked = []

    def judged(server: Server) -> None:
        for _ in range(6):
            asked.append(server.session.state())
            assert server.session.answer(asked[-1]["question"], 0)
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "wait", judged)
    out = tmp_path / "judged.csv"
    outcome = cli("judge", images_folder, "--out", out, "--run", run, "--distortions", JPEG)
    assert outcome.code == 0, outcome.err
    command = ("--triplets", str(out), "--distortions", JPEG)
    assert outcome.err.endswith(f"dps-train {' '.join(command)}\n")
    phrases = {one["name"]: one["words"] for one in asked[0]["importances"]}
    assert list(phrases) == [*KINDS, "jpeg", "other", "size"]
    assert phrases["jpeg"].startswith("jpeg of strength 2 (coarseness")
    outcome = cli(*command, "--data", images_folder, *QUICK, "--out", tmp_path / "judged")
    assert outcome.code == 0, outcome.err
    metric = load_run(tmp_path / "judged")[1].metric
    assert metric.judgements.triplets == 6
    assert list(metric.importances) == list(phrases)


def test_what_cannot_be_judged(cli, run, images_folder, tmp_path):
    judge = ("judge", images_folder, "--out", tmp_path / "judged.csv")
    error = cli(*judge, "--distortions", JPEG).error_line
    assert "the embedded metric does not know jpeg" in error
    error = cli(*judge, "--run", run).error_line
    assert "knows jpeg, which cannot be applied here" in error
    for number in range(5):
        for side in "ab":
            photo = photos(1, 64, 64, seed=number + 10 * (side == "b"))[0]
            cv2.imwrite(str(tmp_path / f"{side}{number}.png"), photo.numpy())
    pairs = tmp_path / "swapped.csv"
    rows = [f"a{number}.png,b{number}.png,1" for number in range(5)]
    pairs.write_text("\n".join(["before,after,strength", *rows]))
    error = cli(*judge, "--run", run, "--distortions", pairs).error_line
    assert "swapped has only recorded images" in error
    assert not (tmp_path / "judged.csv").exists()


def test_a_saved_context_may_name_it(cli, run, images_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "user"))
    saved = cli("contexts", "save", "mine", "--run", run, "--why", "So.")
    assert saved.code == 0, saved.err
    unknown = cli("--context-name", "mine", *QUICK)
    assert "context mine: unknown distortion 'jpeg'" in unknown.error_line
    data = ("--data", images_folder)
    outcome = cli("--context-name", "mine", "--distortions", JPEG, *QUICK, *data, "--out", "again")
    assert outcome.code == 0, outcome.err
    assert load_run(Path("again"))[1].metric.ranking == load_run(run)[1].metric.ranking


def test_pairs_of_files_are_trained_on(cli, images_folder, tmp_path):
    rows = ["before,after,strength"]
    for number, photo in enumerate(photos(6, 90, 100)):
        image = photo.numpy()
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
        for strength in (1, 2, 3):
            after = cv2.GaussianBlur(image, (0, 0), strength)
            cv2.imwrite(str(tmp_path / f"{number}-{strength}.png"), after)
            rows.append(f"{number}.png,{number}-{strength}.png,{strength}")
    pairs = tmp_path / "soft.csv"
    pairs.write_text("\n".join(rows))
    run = tmp_path / "run"
    options = ("--distortions", pairs, "--distortions", JPEG, "--ranking", "soft,jpeg,blur")
    outcome = cli(*options, *QUICK, "--data", images_folder, "--out", run, "--json")
    assert outcome.code == 0, outcome.err
    measures = json.loads(outcome.out)
    # Blur, too, is measured on the scenes.
    assert {"soft>jpeg", "soft>blur", "jpeg>blur"} == set(measures["pairs"])
    amounts = load_run(run)[1].metric.amounts
    assert amounts == [*KINDS, "soft", "jpeg", "other", "size"]
    for variant in ("lin", "tune"):
        refused = cli(*options, "--variant", variant, "--out", tmp_path / variant)
        assert refused.code == 2
        assert f"--variant {variant} cannot learn soft" in refused.err


def test_the_list_shows_it(cli, tmp_path):
    outcome = cli("distortions", "--distortions", JPEG, "--sheet", tmp_path / "sheet.png")
    assert outcome.code == 0, outcome.err
    assert "jpeg" in outcome.out
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None


def test_a_run_that_tells_nothing_apart_cannot_be_universal(cli, images_folder, tmp_path):
    run = tmp_path / "baseline"
    options = ("--variant", "baseline", "--ranking", "color,blur", "--data", images_folder)
    assert cli(*options, "--out", run).code == 0
    with pytest.raises(UsageError, match="tells no kinds of change apart"):
        export_run(run, tmp_path / "x.onnx", universal=True)
