"""The judging page in a real browser, by keyboard: answered, undone, left and resumed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
def serving(session: Session | None) -> Iterator[Server]:
    with Server(session) as server, server.running():
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser) -> Iterator[object]:
    """A tab in which nothing may go wrong."""
    happened: list[str] = []
    tab = browser.new_page()
    tab.set_default_timeout(20_000)
    tab.on("console", lambda message: happened.append(message.text))
    tab.on("pageerror", lambda error: happened.append(str(error)))
    yield tab
    tab.close()
    assert happened == []


@pytest.fixture(scope="module")
def made(images_folder):
    """The metric and a pool of its triplets."""
    metric = load_universal()
    return metric, draw_pool(str(images_folder), metric, seeded(), Path("none"))


def press(page, key: str, answered: int) -> None:
    page.keyboard.press(key)
    page.wait_for_function(
        "count => state.answered === count && document.documentElement.matches('[data-ready]')",
        arg=answered,
    )


def open_page(page, server: Server) -> None:
    page.goto(server.url)
    page.wait_for_selector("html[data-ready]")


def test_judging_by_keyboard_undone_left_and_resumed(page, made, tmp_path):
    metric, pool = made
    answers = AnswerFile(tmp_path / "judged.csv")
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
        assert re.fullmatch(
            r"It agrees with [0-3] of your last [123] answers to random questions: \d+\s%, between "
            r"\d+\s% and \d+\s%\.",
            page.locator("#agreement").inner_text(),
        )
        assert page.locator(".importance").count() == len(AMOUNTS)
        assert page.locator("#most").inner_text()
    assert read_triplets(answers.path).judge == (*JUDGES[:8], 1, 0, 1, 0, 0)
    columns = read_triplets(answers.path)
    assert len(set(zip(columns.reference, columns.p0, columns.p1, strict=True))) == 13


def test_the_page_shows_the_preparation_and_says_what_comes_next(page, made, tmp_path):
    answers = AnswerFile(tmp_path / "judged.csv")
    with serving(None) as server:
        page.goto(server.url)
        assert page.locator("#preparing").is_visible()
        server.prepared = (40, 360)
        page.wait_for_function(
            "() => document.getElementById('prepared').textContent === '40 of 360 pictures'"
        )
        assert not page.locator("#judging").is_visible()
        page.keyboard.press("1")
        server.session = Session(answers, *made, seed=0)
        page.wait_for_selector("html[data-ready]")
        assert not page.locator("#preparing").is_visible()
        assert page.locator("#agreement").inner_text() == "It has guessed none of your answers yet."
        for count in range(1, 7):
            press(page, "1", count)
        assert not server.finished.is_set()
        page.locator("#finish").click()
        assert server.finished.wait(10)
        page.locator("#finished").wait_for()
        assert page.locator("#kept").inner_text() == "Your 6 answers are in judged.csv."
        assert page.locator("#run").inner_text() == f"dps-train --triplets {answers.path}"
        # Nothing more is taken.
        page.keyboard.press("1")
        page.keyboard.press("u")
        assert not page.locator("#judging").is_visible()
    assert len(read_triplets(answers.path)) == 6


def test_finishing_early_says_how_to_go_on(page, made, tmp_path):
    with serving(Session(AnswerFile(tmp_path / "judged.csv"), *made, seed=0)) as server:
        open_page(page, server)
        page.locator("#finish").click()
        page.locator("#finished").wait_for()
        assert page.locator("#kept").inner_text() == "You gave no answer, so there is no file."
        assert "5 or more" in page.locator("#next").inner_text()


def test_a_person_at_the_keyboard_is_understood_and_loses_no_answer(
    browser, images_folder, tmp_path
):
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
    judge_in_browser(person, str(images_folder), out, sittings=(7, 30), browser=browser)
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
