"""A simulated person at the page of ``dps-train judge``: looks at the browser, and presses keys.

The program runs as its users run it, in a process of its own. Nothing is known of it but the
address that it prints, what the page shows, and the file of judgements that it writes.
"""

from __future__ import annotations

import base64
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from dps_infer.errors import DpsError
from dps_train.data.sources import read_pixels
from dps_train.judgements.read_triplets import read_triplets

Image = NDArray[np.uint8]
Seen = tuple[Image, Image, Image]
"""Reference, first and second candidate as they stand on the page: uint8 RGB [H, W, 3]."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COMMAND = (sys.executable, "-m", "dps_train.cli")
PATIENCE = 60
"""Seconds after which the program or the page is taken to hang."""

SLIP = 0.1
"""How often a person presses the wrong key, sees it and takes it back."""

KEYS = {0.0: "1", 1.0: "2", 0.5: "0"}

READY = """answered => document.documentElement.matches("[data-ready]")
    && parseInt(document.getElementById("answered").textContent) === answered"""

PIXELS = """() => ["reference", "p0", "p1"].map(id => {
    const image = document.getElementById(id);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/png");
})"""


class LostAnswerError(DpsError):
    """The file does not hold what was answered on the page."""


def find_browser() -> str | None:
    """Return the path of an installed browser that can be driven; None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@dataclass
class Person:
    """Somebody who judges by keyboard.

    Attributes:
        decide: 0 where the first candidate is closer, 1 where the second, 0.5 for "cannot say".
        rng: when a key is slipped to.
        given: what was judged, and how, as the page showed it.
    """

    decide: Callable[[Seen], float]
    rng: np.random.Generator
    given: list[tuple[Seen, float]] = field(default_factory=list)

    def sit_down(self, page: Page, url: str, answers: int) -> None:
        """Open the page, which goes on where it was left, and judge up to so many answers."""
        page.goto(url)
        page.wait_for_function(READY, arg=len(self.given))
        while len(self.given) < answers:
            seen = _look(page)
            judge = self.decide(seen)
            count = len(self.given) + 1
            if self.rng.random() < SLIP:
                _press(page, "1" if judge else "2", count)
                _press(page, "u", count - 1)
                if not _equal(_look(page), seen):
                    raise LostAnswerError("undo did not ask the same triplet again")
            _press(page, KEYS[judge], count)
            self.given.append((seen, judge))

    def check(self, out: Path) -> None:
        """Compare the file with what was judged, in order.

        Raises:
            LostAnswerError: it holds something else.
        """
        kept = read_triplets(out)
        if len(kept) != len(self.given):
            raise LostAnswerError(f"{out} holds {len(kept)} answers of {len(self.given)}")
        rows = zip(kept.reference, kept.p0, kept.p1, kept.judge, strict=True)
        for number, (*paths, judge) in enumerate(rows, start=1):
            seen, meant = self.given[number - 1]
            if judge != meant or not _equal([read_pixels(path) for path in paths], seen):
                raise LostAnswerError(f"{out}: answer {number} is not what was answered")


def judge_in_browser(
    person: Person,
    images: str,
    out: Path,
    *,
    sittings: Sequence[int],
    seed: int = 0,
    command: Sequence[str] = COMMAND,
) -> None:
    """Let a person judge in several sittings; between them, program and browser are closed.

    Args:
        person: who judges.
        images: see ``dps-train judge``.
        out: the file of judgements.
        sittings: how many answers there are at the end of each.
        seed: see ``dps-train judge``.
        command: what runs ``dps-train``.

    Raises:
        LostAnswerError: what was answered is not in the file after a sitting.
    """
    for answers in sittings:
        arguments = [*command, "judge", images, "--out", str(out), "--seed", str(seed)]
        with _serving(arguments) as url, _tab() as page:
            person.sit_down(page, url, answers)
        person.check(out)


@contextmanager
def _serving(arguments: Sequence[str]) -> Iterator[str]:
    """Run the program until Ctrl-C: its address."""
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().strip()
        if not url:
            raise DpsError(f"the program did not start: {process.stderr.read().strip()}")
        try:
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)


@contextmanager
def _tab() -> Iterator[Page]:
    """A tab of a browser of its own, in which nothing may go wrong."""
    happened: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("console", lambda message: happened.append(message.text))
        page.on("pageerror", lambda error: happened.append(str(error)))
        yield page
        browser.close()
    if happened:
        raise DpsError(f"the page said: {'; '.join(happened)}")


def _press(page: Page, key: str, answered: int) -> None:
    page.keyboard.press(key)
    page.wait_for_function(READY, arg=answered)


def _look(page: Page) -> Seen:
    first, second, third = (_decoded(data) for data in page.evaluate(PIXELS))
    return first, second, third


def _decoded(url: str) -> Image:
    data = np.frombuffer(base64.b64decode(re.sub("^data:image/png;base64,", "", url)), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def _equal(images: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(map(np.array_equal, images, others))
