"""A simulated person who judges on the page of ``dps-train judge``, by keyboard in a browser.

The program runs in its own process, as users run it. All that is used of it is the address that it
prints, the pictures on the page, and the file of judgements that it writes.
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.shared.browser_runtime import find_browser
from dps_infer.errors import DpsError
from dps_train.data.sources import read_pixels
from dps_train.judgements.read_triplets import read_triplets

Image = NDArray[np.uint8]
Seen = tuple[Image, Image, Image]
"""Reference, first and second candidate as the page shows them: uint8 RGB [H, W, 3]."""

COMMAND = (sys.executable, "-m", "dps_train.cli")
PATIENCE = 60
"""Seconds to wait for the program or the page."""

SLIP = 0.1
"""How often a person presses the wrong key, notices, and takes the answer back."""

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
    """The file of judgements lacks an answer, or holds another one."""


@dataclass
class Person:
    """A person who judges by keyboard.

    Attributes:
        decide: returns 0 where the first candidate is closer, 1 where the second is, 0.5 for
            "cannot say".
        rng: draws the wrong keys.
        given: the triplets judged so far, as the page showed them, and the answers.
    """

    decide: Callable[[Seen], float]
    rng: np.random.Generator
    given: list[tuple[Seen, float]] = field(default_factory=list)

    def sit_down(self, page: Page, url: str, answers: int) -> None:
        """Open the page, and judge until there are this many answers, earlier sittings included."""
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
        """Compare the file with the answers given.

        Raises:
            LostAnswerError: they differ.
        """
        kept = read_triplets(out)
        if len(kept) != len(self.given):
            raise LostAnswerError(f"{out} holds {len(kept)} of {len(self.given)} answers")
        rows = zip(kept.reference, kept.p0, kept.p1, kept.judge, strict=True)
        for number, (*paths, judge) in enumerate(rows, start=1):
            seen, meant = self.given[number - 1]
            if judge != meant or not _equal([read_pixels(path) for path in paths], seen):
                raise LostAnswerError(f"{out}: answer {number} differs from the one given")


def judge_in_browser(
    person: Person,
    images: str,
    out: Path,
    *,
    sittings: Sequence[int],
    seed: int = 0,
    command: Sequence[str] = COMMAND,
    browser: Browser | None = None,
) -> None:
    """Let a person judge in several sittings, and close program and browser between them.

    Args:
        person: judges.
        images: as ``dps-train judge`` takes them.
        out: the file of judgements.
        sittings: number of answers at the end of each.
        seed: of ``dps-train judge``.
        command: runs ``dps-train``.
        browser: opens the tabs; None starts one for each sitting.

    Raises:
        LostAnswerError: an answer is not in the file after a sitting.
    """
    for answers in sittings:
        arguments = [*command, "judge", images, "--out", str(out), "--seed", str(seed)]
        with _serving(arguments) as url, _tab(browser) as page:
            person.sit_down(page, url, answers)
        person.check(out)


@contextmanager
def _serving(arguments: Sequence[str]) -> Iterator[str]:
    """Run the program, and yield the address that it prints; SIGTERM ends it as Ctrl-C would."""
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
            # Programs that are started in the background ignore Ctrl-C.
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@contextmanager
def _tab(browser: Browser | None) -> Iterator[Page]:
    """Open a tab in a browser, or in a new one; fail at the end if the page logged anything."""
    logged: list[str] = []
    with ExitStack() as stack:
        if browser is None:
            playwright = stack.enter_context(sync_playwright())
            browser = playwright.chromium.launch(
                executable_path=find_browser(), args=["--no-sandbox"]
            )
            stack.callback(browser.close)
        page = browser.new_page()
        stack.callback(page.close)
        page.set_default_timeout(1000 * PATIENCE)
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        yield page
    if logged:
        raise DpsError(f"the page logged: {'; '.join(logged)}")


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
