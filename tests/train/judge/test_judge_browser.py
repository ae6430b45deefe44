"""The judging page in a real browser, by keyboard: answered, undone, left and resumed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from train_helpers import seeded

from dps_train.contexts import AMOUNTS
from dps_train.fit.from_judgements import channel_distances
from dps_train.judge.answers import AnswerFile
from dps_train.judge.pool import draw_pool, picture_amounts
from dps_train.judge.server import Server
from dps_train.judge.session import Session
from dps_train.judgements.importances import fit_importances
from dps_train.judgements.read_triplets import read_triplets
from dps_train.model.embedded.embedded_metric import load_universal

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")

KEYS = ("1", "2", "2", "0", "1", " ", "2", "1", "1", "2")
JUDGES = (0, 1, 1, 0.5, 0, 0.5, 1, 0, 0, 1)


@contextmanager
def serving(session: Session) -> Iterator[Server]:
    with Server(session) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def page() -> Iterator[object]:
    """A tab in which nothing may go wrong."""
    happened: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.set_default_timeout(20_000)
        tab.on("console", lambda message: happened.append(message.text))
        tab.on("pageerror", lambda error: happened.append(str(error)))
        yield tab
        browser.close()
    assert happened == []


def press(page, key: str, answered: int) -> None:
    page.keyboard.press(key)
    page.wait_for_function(
        "count => state.answered === count && document.documentElement.matches('[data-ready]')",
        arg=answered,
    )


def open_page(page, server: Server) -> None:
    page.goto(server.url)
    page.wait_for_selector("html[data-ready]")


def test_judging_by_keyboard_undone_left_and_resumed(page, images_folder, tmp_path):
    metric = load_universal()
    answers = AnswerFile(tmp_path / "judged.csv")
    pool = draw_pool(str(images_folder), metric, seeded(), tmp_path)
    with serving(Session(answers, metric, pool, seed=0)) as server:
        open_page(page, server)
        assert page.locator("#answered").inner_text() == "0 of about 40 answers"
        assert page.locator("#undo").is_disabled()
        for count, key in enumerate(KEYS, start=1):
            press(page, key, count)
        assert read_triplets(answers.path).judge == JUDGES
        asked = page.evaluate("state.question")
        press(page, "u", 9)
        assert read_triplets(answers.path).judge == JUDGES[:9]
        assert page.evaluate("state.question") != asked
        widths = page.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)")
        assert widths == [256] * 3
        assert page.locator("#answered").inner_text() == "9 of about 40 answers"
        assert "2 of them “cannot say”" in page.locator("#advice").inner_text()
        page.goto("about:blank")
    with serving(Session(answers, metric, pool, seed=0)) as server:
        open_page(page, server)
        assert page.evaluate("state.answered") == 9
        press(page, "u", 8)
        for count, key in enumerate("2121", start=9):
            press(page, key, count)
        # The mouse does too.
        page.locator("#first").click()
        page.wait_for_function("() => state.answered === 13")
        assert "%" in page.locator("#sure").inner_text()
        assert page.locator(".importance").count() == len(AMOUNTS)
        assert page.locator("#most").inner_text()
    assert read_triplets(answers.path).judge == (*JUDGES[:8], 1, 0, 1, 0, 0)
    columns = read_triplets(answers.path)
    assert len(set(zip(columns.reference, columns.p0, columns.p1, strict=True))) == 13


def test_a_person_at_the_keyboard_is_understood_and_loses_no_answer(images_folder, tmp_path):
    """The program itself, closed and started again halfway; see `judgements_browser`."""
    from benchmarks.shared.keyboard_judge import Person, judge_in_browser

    metric = load_universal()
    hidden = np.full(len(AMOUNTS), 0.1)
    hidden[[AMOUNTS.index(name) for name in ("darken", "blur", "noise")]] = 1, 4, 2

    def decide(seen) -> float:
        reference, *candidates = seen
        d0, d1 = picture_amounts(metric, reference, np.stack(candidates)).numpy() @ hidden
        return float(d0 > d1)

    person = Person(decide, np.random.default_rng(0))
    out = tmp_path / "judged.csv"
    judge_in_browser(person, str(images_folder), out, sittings=(7, 30))
    triplets = read_triplets(out)
    assert triplets.judge == tuple(judge for _, judge in person.given)
    assert len(triplets) == 30
    with torch.no_grad():
        z = channel_distances(metric, triplets, 64, torch.device("cpu"))
        first, second = (metric.head.amounts(one) for one in z)
    fitted = fit_importances(first, second, torch.tensor(triplets.judge)).mode
    # Of other pairs of the same pictures' changes: kinds that none of them shows stay unknown.
    others = draw_pool(str(images_folder), metric, seeded(), tmp_path).differences
    assert np.mean((others @ fitted > 0) == (others @ hidden > 0)) > 0.85
