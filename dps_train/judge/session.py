"""One person's session: the answers so far, the next question, and the fitted importances."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from dps_infer.errors import DpsError
from dps_train.data.sources import read_pixels
from dps_train.judge.answers import AnswerFile
from dps_train.judge.foretelling import foretold, is_check
from dps_train.judge.next_question import information_gain
from dps_train.judge.pool import Picture, Pool, picture_amounts
from dps_train.judge.words import amount_phrases, explain_importances
from dps_train.judgements.importances import (
    FittedImportances,
    Numbers,
    fit_differences,
    scaled_differences,
)
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for

ENOUGH = 40
"""Number of answers after which the importances are usually well known."""

SAMPLES = 300

CANNOT_SAY = 0.5
JUDGES = (0.0, CANNOT_SAY, 1.0)


@dataclass(frozen=True, eq=False)
class Question:
    """A triplet that the page asks about, or that has been answered.

    Attributes:
        pictures: reference, p0 and p1.
        difference: see `dps_train.judgements.importances.scaled_differences` [A].
    """

    pictures: tuple[Picture, Picture, Picture]
    difference: Numbers

    @property
    def key(self) -> tuple[str, frozenset[str]]:
        """Identifies a triplet, whatever the order of its candidates."""
        reference, p0, p1 = (picture.name for picture in self.pictures)
        return reference, frozenset((p0, p1))


class Session:
    """Asks questions, saves every answer immediately, and fits importances to all of them.

    Most questions are the most informative ones; some check what the fit knows of the person
    (`dps_train.judge.foretelling`).

    Its methods may be called from several threads.

    Attributes:
        question: the current question; None if all have been answered.
        fitted: importances fitted to the answers so far.
        command: the command that adapts a metric to them.

    Args:
        answers: the file; a file with answers is continued.
        metric: an additive one.
        pool: triplets to choose from.
        seed: of random numbers in the choice.
        options: further options of ``dps-train --triplets``, besides the file.

    Raises:
        DpsError: the file exists and does not hold answers of this page.
    """

    def __init__(
        self,
        answers: AnswerFile,
        metric: Metric,
        pool: Pool,
        seed: int,
        options: Sequence[str] = (),
    ) -> None:
        self.answers = answers
        self._pool = pool
        self._names = metric.head.names
        self._phrases = amount_phrases(self._names, pool.distortions)
        self._seed = seed
        self.command = shlex.join(["dps-train", "--triplets", str(answers.path), *options])
        self._lock = threading.Lock()
        self._answered = _answered(answers, metric)
        # By the number of answers before: how much farther the fit finds p0 in a check.
        self._checks = {
            number: self._decide(self._fit_importances(number), self._answered[number][0])
            for number in range(len(self._answered))
            if is_check(number)
        }
        self._number = 0
        self._ask(None)

    def picture(self, number: int, place: int) -> Picture:
        """Return reference (0), p0 (1) or p1 (2) of question `number`, or raise KeyError."""
        with self._lock:
            if number != self._number or self.question is None or place not in range(3):
                raise KeyError(number)
            return self.question.pictures[place]

    def answer(self, number: int, judge: float) -> bool:
        """Save an answer, one of `JUDGES`, and choose the next question.

        Returns whether it was accepted: `number` must be the current question's.

        Raises:
            OutputError: it cannot be written; the question stays.
        """
        with self._lock:
            question = self.question
            if number != self._number or question is None or judge not in JUDGES:
                return False
            self.answers.append(question.pictures, judge)
            self._answered.append((question, judge))
            self._ask(None)
            return True

    def undo(self) -> bool:
        """Remove the last answer and ask its question again; return whether there was one.

        Raises:
            OutputError: the file cannot be written; the answer stays.
        """
        with self._lock:
            if not self._answered:
                return False
            self.answers.undo()
            question, _ = self._answered.pop()
            self._ask(question)
            return True

    def state(self) -> dict[str, object]:
        """Return the content of the page, for JSON."""
        with self._lock:
            judges = [judge for _, judge in self._answered]
            intervals = self.fitted.intervals(generator_for("intervals", self._seed))
            importances = self.fitted.importances
            rows = zip(self._names, self._phrases, importances, intervals, strict=True)
            return {
                "question": None if self.question is None else self._number,
                "answered": len(judges),
                "cannotSay": judges.count(CANNOT_SAY),
                "enough": ENOUGH,
                "foretold": asdict(foretold(self._hits())),
                "words": asdict(explain_importances(self._phrases, self.fitted, self._samples)),
                "importances": [
                    {"name": name, "words": words, "value": value, "low": low, "high": high}
                    for name, words, value, (low, high) in rows
                ],
                "file": self.answers.path.name,
                "command": self.command,
            }

    def _ask(self, question: Question | None) -> None:
        """Fit to the answers so far, and ask this question, by default the most informative one."""
        count = len(self._answered)
        self.fitted = self._fit_importances(count)
        self._samples = self.fitted.sample(SAMPLES, generator_for(f"samples {count}", self._seed))
        self._number += 1
        self.question = question or self._next_question(count)
        if self.question is not None and is_check(count):
            self._checks[count] = self._decide(self.fitted, self.question)

    def _fit_importances(self, count: int) -> FittedImportances:
        """Fit importances to the first answers."""
        first = self._answered[:count]
        differences = np.array([one.difference for one, _ in first])
        judges = np.array([judge for _, judge in first])
        return fit_differences(differences.reshape(count, len(self._names)), judges)

    def _decide(self, fitted: FittedImportances, question: Question) -> float:
        """Return how much farther a fit finds p0 than p1."""
        return float(question.difference @ fitted.mode)

    def _hits(self) -> list[bool]:
        """Return whether each check was decided as the person did; without "cannot say"."""
        return [
            (self._checks[number] > 0) == (judge > CANNOT_SAY)
            for number, (_, judge) in enumerate(self._answered)
            if is_check(number) and judge != CANNOT_SAY
        ]

    def _next_question(self, count: int) -> Question | None:
        """Return the best question, or a random one as a check; None if all have been asked."""
        asked = {question.key for question, _ in self._answered}
        if is_check(count):
            generator = generator_for(f"check {count}", self._seed)
            order = torch.randperm(len(self._pool.triplets), generator=generator).tolist()
        else:
            gains = information_gain(self._pool.differences, self._samples)
            order = np.argsort(-gains).tolist()
        for row in order:
            question = Question(self._pool.triplets[row], self._pool.differences[row])
            if question.key not in asked:
                return question
        return None


def _answered(answers: AnswerFile, metric: Metric) -> list[tuple[Question, float]]:
    """Read the answers in the file, and compare their pictures."""
    triplets = answers.read()
    if triplets is None:
        return []
    answered = []
    columns = (triplets.reference, triplets.p0, triplets.p1, triplets.judge)
    for *paths, judge in zip(*columns, strict=True):
        if judge not in JUDGES or any(path.parent != answers.folder for path in paths):
            raise DpsError(
                f"{answers.path} holds judgements that were not made on this page: choose another "
                "name for --out"
            )
        reference, p0, p1 = (Picture(path.name, read_pixels(path)) for path in paths)
        amounts = picture_amounts(metric, reference.pixels, np.stack([p0.pixels, p1.pixels]))
        difference = scaled_differences(amounts[:1], amounts[1:])[0]
        answered.append((Question((reference, p0, p1), difference), judge))
    return answered
