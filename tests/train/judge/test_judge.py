"""The judging page without a browser: questions, file, access control, and texts."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from train_helpers import instead_of_the_real, seeded

from dps_infer.errors import DpsError, OutputError, UsageError
from dps_train.contexts import AMOUNTS, PAPER_AMOUNTS
from dps_train.custom import distortion
from dps_train.distortions.paper import DISTORTIONS
from dps_train.judge.answers import AnswerFile
from dps_train.judge.foretelling import foretold, wilson_interval
from dps_train.judge.next_question import information_gain
from dps_train.judge.pool import draw_pool
from dps_train.judge.server import Server
from dps_train.judge.session import Session
from dps_train.judge.words import Explanation, amount_phrases, explain_importances
from dps_train.judgements.importances import FittedImportances, fit_differences
from dps_train.judgements.read_triplets import read_triplets
from dps_train.model.embedded.embedded_metric import load_universal

NOWHERE = Path("none")


@pytest.fixture(scope="module")
def made(images_folder, stand_ins):
    """The metric and a pool of its triplets."""
    with instead_of_the_real(stand_ins):
        metric = load_universal()
    return metric, draw_pool(str(images_folder), metric, seeded(), NOWHERE)


@pytest.fixture
def answers(tmp_path) -> AnswerFile:
    return AnswerFile(tmp_path / "judged.csv")


@pytest.fixture
def session(made, answers) -> Session:
    return Session(answers, *made, seed=0)


def number_of(session: Session) -> int:
    return session.state()["question"]


def give(session: Session, *judges: float) -> None:
    for judge in judges:
        assert session.answer(number_of(session), judge)


# --- pictures -------------------------------------------------------------------------


def test_a_pool_shows_changes_of_images(made, images_folder):
    metric, pool = made
    assert len(pool.triplets) == 6 * 28 == len(pool.differences)
    assert np.isfinite(pool.differences).all()
    for reference, p0, p1 in pool.triplets[:40]:
        assert reference.pixels.shape == p0.pixels.shape == p1.pixels.shape == (256, 256, 3)
        assert (p0.pixels != p1.pixels).any()
    counted: list[tuple[int, int]] = []
    again = draw_pool(
        str(images_folder),
        metric,
        seeded(),
        NOWHERE,
        progress=lambda done, total: counted.append((done, total)),
    )
    assert counted == [(done, 54) for done in range(0, 55, 9)]
    assert (again.differences == pool.differences).all()
    with pytest.raises(UsageError, match="holds no image"):
        draw_pool(str(images_folder), metric, seeded(), images_folder)


# --- answers --------------------------------------------------------------------------


def test_every_answer_is_in_the_file_at_once(session, answers):
    for count, judge in enumerate((0, 1, 0.5), start=1):
        give(session, judge)
        triplets = read_triplets(answers.path)
        assert len(triplets) == count
        assert triplets.judge[-1] == judge
    assert answers.path.read_text().splitlines()[1].startswith("judged-images/")
    assert session.state()["answered"] == 3
    assert session.state()["cannotSay"] == 1


def test_no_triplet_is_asked_twice(session, answers):
    give(session, *[number % 2 for number in range(12)])
    triplets = read_triplets(answers.path)
    rows = zip(triplets.reference, triplets.p0, triplets.p1, strict=True)
    assert len({(reference, frozenset((p0, p1))) for reference, p0, p1 in rows}) == 12


def test_undo_asks_again(session, answers):
    give(session, 0)
    before = answers.path.read_bytes()
    asked = session.question
    give(session, 1)
    assert session.undo()
    assert answers.path.read_bytes() == before
    assert session.question is asked
    give(session, 0)
    assert session.undo()
    assert session.undo()
    assert not session.undo()
    assert session.state()["answered"] == 0
    give(session, 1)
    assert len(read_triplets(answers.path)) == 1


def test_an_answer_to_another_question_is_not_taken(session, answers):
    number = number_of(session)
    give(session, 0)
    assert not session.answer(number, 1)
    assert not session.answer(number_of(session), 0.3)
    assert len(read_triplets(answers.path)) == 1


def test_a_session_goes_on(session, made, answers):
    give(session, 0, 1, 0.5, 1)
    again = Session(answers, *made, seed=0)
    assert again.fitted.mode == pytest.approx(session.fitted.mode, rel=1e-4)
    assert again.state()["words"] == session.state()["words"]
    assert again.question.key == session.question.key
    assert again.undo()
    assert len(read_triplets(answers.path)) == 3


def test_an_answer_that_cannot_be_written_is_asked_again(session, answers, monkeypatch):
    give(session, 0)
    before = answers.path.read_bytes()
    number = number_of(session)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            session.answer(number, 1)
    assert answers.path.read_bytes() == before
    assert session.answer(number, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("judge,p0,p1,reference\n", "in this order"),
        ("reference,p0,p1,judge\na.png,b.p", "new line"),
        ("reference,p0,p1,judge\na.png,b.png,c.png,1\n", "a.png"),
    ],
)
def test_a_file_that_is_not_the_pages_own_is_refused(made, answers, text, message):
    answers.path.write_text(text)
    with pytest.raises(DpsError, match=message):
        Session(answers, *made, seed=0)
    assert answers.path.read_text() == text


def test_a_judge_is_understood_in_few_answers(session, made):
    hidden = np.full(len(AMOUNTS), 0.1)
    hidden[[AMOUNTS.index(name) for name in ("darken", "blur", "noise")]] = 1, 4, 2
    right = made[1].differences @ hidden > 0
    for _ in range(25):
        give(session, float(session.question.difference @ hidden > 0))
    assert np.mean((made[1].differences @ session.fitted.mode > 0) == right) > 0.85


# --- how well the metric knows the person --------------------------------------------


def test_the_interval_of_a_share():
    # Its ends are the shares p whose distance to the observed one is z standard deviations.
    for end in wilson_interval(17, 20):
        assert abs(17 / 20 - end) == pytest.approx(1.96 * (end * (1 - end) / 20) ** 0.5, rel=1e-4)
    # Closed forms at the ends: z^2 / (n + z^2).
    assert wilson_interval(0, 10) == pytest.approx((0, 1.96**2 / (10 + 1.96**2)), rel=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((10 / (10 + 1.96**2), 1), rel=1e-4)
    assert wilson_interval(0, 0) == (0, 1)


def test_only_the_latest_checks_count():
    assert foretold([False] * 10 + [True] * 20).right == 20
    assert foretold([]).checks == 0


def test_every_fourth_question_checks_what_is_known(session, made, answers):
    pool = made[1]
    rows = {id(triplet): row for row, triplet in enumerate(pool.triplets)}
    right, checks = 0, 0
    for number in range(24):
        guess = session.question.difference @ session.fitted.mode > 0
        judge = float(number % 3 > 0)
        if number % 4 == 3:
            # At random: most informative questions would come first in the order of information.
            gains = information_gain(pool.differences, session._samples)
            row = rows[id(session.question.pictures)]
            checks += 1
            right += guess == (judge > 0.5)
            assert (gains > gains[row]).sum() > 0
        give(session, judge)
    told = session.state()["foretold"]
    assert (told["right"], told["checks"]) == (right, checks) == (right, 6)
    assert told["low"] < right / checks < told["high"]
    # Read from the file again, it is the same.
    again = Session(answers, *made, seed=0)
    assert again.state()["foretold"] == pytest.approx(told)
    # "Cannot say" contradicts nobody, and an answer that is taken back does not count.
    assert session.undo()
    assert session.state()["foretold"]["checks"] == 5
    give(session, 0.5)
    assert session.state()["foretold"]["checks"] == 5


# --- words ----------------------------------------------------------------------------


def test_explanation():
    known = FittedImportances(np.array([0.12, 0.25, 0.5, 0.3, 3.0, 0.05, 2.9]), 0.02 * np.eye(7))
    explanation = explain_importances(
        amount_phrases(PAPER_AMOUNTS), known, known.sample(2000, seeded())
    )
    assert explanation.most == "A blur by a sixteenth of the side counts"
    assert explanation.times == (
        "about 6 times as much as a loss of half of the brightness",
        "about 10 times as much as a hue shift by a quarter of the circle",
        "about 12 times as much as a shift by a quarter of the side",
        "about 25 times as much as a rotation by 90 degrees",
        "more than 30 times as much as an enlargement by half",
    )
    assert (
        explanation.unclear
        == "Whether it counts more than another kind of change is not clear yet."
    )
    unknown = fit_differences(np.zeros((0, 7)), np.zeros(0))
    nothing = explain_importances(
        amount_phrases(PAPER_AMOUNTS), unknown, unknown.sample(200, seeded())
    )
    assert nothing == Explanation("Nothing is clear yet.")


def test_a_custom_distortion_is_described_by_its_unit():
    @distortion(unit="grain, in gray levels", range=(4, 32), threshold=1, reference=16)
    def grain(pixels, strength):
        return pixels

    phrases = amount_phrases(["grain", "blur", "unheard-of"], [*DISTORTIONS, grain])
    assert phrases == [
        "grain of strength 16 (grain, in gray levels)",
        "a blur by a sixteenth of the side",
        "unheard-of",
    ]


# --- who may ask ----------------------------------------------------------------------


def test_the_page_opens_before_the_pictures_are_ready(session, answers):
    with Server() as server, server.running():
        path = f"/{server.secret}/"
        assert fetch(server, path)[0].status == 200
        assert json.loads(fetch(server, f"{path}state")[1]) == {"preparing": [0, 0]}
        server.prepared = (40, 360)
        assert json.loads(fetch(server, f"{path}state")[1]) == {"preparing": [40, 360]}
        assert fetch(server, f"{path}picture/1/0")[0].status == 404
        for request in ("answer", "undo", "finish"):
            body = {"question": 1, "judge": 1}
            assert fetch(server, f"{path}{request}", body=body)[0].status == 409
        assert not server.finished.is_set()
        server.session = session
        assert json.loads(fetch(server, f"{path}state")[1])["question"] == 1
    assert answers.read() is None


@pytest.fixture
def server(session) -> Iterator[Server]:
    with Server(session) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def fetch(server: Server, path: str, *, body: object = None, **headers: str):
    connection = http.client.HTTPConnection(server.address, timeout=10)
    method = "GET" if body is None else "POST"
    content = body if body is None or isinstance(body, str) else json.dumps(body)
    connection.request(method, path, content, headers)
    response = connection.getresponse()
    return response, response.read()


def test_the_page_and_its_parts(server):
    for name in ("", "page.css", "page.js", "state", "picture/1/0", "picture/1/2"):
        response, body = fetch(server, f"/{server.secret}/{name}")
        assert response.status == 200, name
        assert body
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Referrer-Policy"] == "no-referrer"
    for name in ("../server.py", "picture/2/0", "picture/1/3", "picture/1", "page.html", "x/1/1"):
        assert fetch(server, f"/{server.secret}/{name}")[0].status == 404, name


def test_strangers_are_refused(server, answers):
    inside = f"/{server.secret}/"
    answer = {"question": 1, "judge": 1}
    assert server.server_address[0] == "127.0.0.1"
    for path, headers in (
        ("/", {}),
        ("/wrong/state", {}),
        (inside, {"Host": f"evil.example:{server.server_port}"}),
        (inside, {"Host": "127.0.0.1"}),
    ):
        assert fetch(server, path, **headers)[0].status == 403
    assert fetch(server, "/wrong/answer", body=answer)[0].status == 403
    origin = {"Origin": "http://evil.example"}
    assert fetch(server, f"{inside}answer", body=answer, **origin)[0].status == 403
    assert not answers.path.exists()


def test_answers_over_http(server, answers):
    path = f"/{server.secret}/answer"
    response, body = fetch(server, path, body={"question": 1, "judge": 1})
    assert (response.status, json.loads(body)["answered"]) == (200, 1)
    response, body = fetch(server, path, body={"question": 1, "judge": 1})
    assert (response.status, json.loads(body)["answered"]) == (409, 1)
    for wrong in ([], {"question": "2", "judge": 1}, {"question": 2}, "x" * 2000):
        assert fetch(server, path, body=wrong)[0].status == 400
    assert len(read_triplets(answers.path)) == 1


# --- the command ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "--out", "a.csv"), "nowhere"),
        (("sample", "--out", "a.txt"), "CSV"),
        (("sample", "--out", "gone/a.csv"), "no folder gone"),
    ],
)
def test_usage_errors(cli, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    outcome = cli("judge", *arguments)
    assert message in outcome.error_line
    assert outcome.code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", ["Ctrl-C", "Finish"])
def test_the_end_of_the_judging(cli, images_folder, tmp_path, monkeypatch, end):
    def answered_and_ended(server: Server) -> None:
        give(server.session, 0, 1)
        if end == "Ctrl-C":
            raise KeyboardInterrupt
        response, body = fetch(server, f"/{server.secret}/finish", body={})
        assert response.status == 200
        assert json.loads(body)["answered"] == len(read_triplets(out))
        assert server.finished.wait(10)

    monkeypatch.setattr(Server, "wait", answered_and_ended)
    out = tmp_path / "judged.csv"
    for count in (2, 4):
        outcome = cli("judge", images_folder, "--out", out)
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith("http://127.0.0.1:")
        assert f"{count} judgements in {out}" in outcome.err
        assert f"dps-train --triplets {out}" in outcome.err
        assert len(read_triplets(out)) == count


def test_two_pages_do_not_share_a_file(cli, images_folder, tmp_path):
    answers = AnswerFile(tmp_path / "judged.csv")
    with answers.locked():
        outcome = cli("judge", images_folder, "--out", answers.path)
        assert outcome.code == 1
        assert "is being judged on another page" in outcome.error_line
    with answers.locked():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_never_comes_holds_no_thread(server, monkeypatch):
    monkeypatch.setattr("dps_train.judge.server._Handler.timeout", 0.2)
    before = threading.active_count()
    with socket.create_connection(("127.0.0.1", server.server_port)) as silent:
        head = f"POST /{server.secret}/answer HTTP/1.1\r\nHost: {server.address}\r\n"
        silent.sendall(f"{head}Content-Length: 900\r\n\r\n".encode())
        assert threading.active_count() > before or silent.recv(1) == b""
        assert silent.recv(1) == b""
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "body", ['{"question": ' + "[" * 900, '{"x":' + "[" * 480 + "]" * 480 + "}", "[" * 1000, "nul"]
)
def test_bodies_that_are_no_answers(server, answers, body):
    response, _ = fetch(server, f"/{server.secret}/answer", body=body)
    assert response.status == 400
    assert answers.read() is None


def test_a_port_that_is_taken(server, session):
    with pytest.raises(UsageError, match=f"--port {server.server_port}"):
        Server(session, server.server_port)
