"""Judgements needed to learn a context, answered by keyboard on the page of `dps-train judge`.

As `judgements`, but the program runs as users run it, and simulated people look at the page in a
headless browser and press keys: with wrong answers, "cannot say", answers that are taken back, and
program and browser closed and started again halfway. Amounts are those of the pictures in the
browser, every answer must be in the file at the end, and the fit is that of `dps-train --triplets`
to it. Needs chromium.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.quality import judgements
from benchmarks.quality.judgements import (
    ASKED,
    Figures,
    Held,
    HeldOutOption,
    JudgedOption,
    Setting,
    TripletsOption,
    answers,
    prepare,
    simulate,
)
from benchmarks.shared.browser_runtime import find_browser
from benchmarks.shared.keyboard_judge import Person, Seen, judge_in_browser
from benchmarks.shared.options import SeedOption, ThreadsOption
from benchmarks.shared.suite import Measured
from dps_infer.errors import DpsError
from dps_train.data.crops import TRAINING_SIZE
from dps_train.fit.from_judgements import channel_distances
from dps_train.judge.pool import picture_amounts
from dps_train.judge.session import CANNOT_SAY
from dps_train.judgements.importances import Numbers, fit_importances
from dps_train.judgements.read_triplets import FEWEST_JUDGEMENTS, read_triplets
from dps_train.judgements.triplets import Triplets
from dps_train.model.metric import Metric

UNSURE = 1.02
"""Ratio of the distances below which a person cannot say which one is larger."""

tables = judgements.tables


def measure(
    train_data: JudgedOption = "sample",
    data: HeldOutOption = "sample",
    people: Annotated[int, typer.Option(min=1, help="Hidden importances to draw.")] = 10,
    triplets: TripletsOption = 2000,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
) -> Measured:
    """Let simulated people judge in a browser."""
    if find_browser() is None:
        raise DpsError("no browser: expected an installed chromium")
    setting = prepare(train_data, data, triplets, seed)
    in_browser = partial(_in_browser, setting, train_data, seed)
    return Measured(simulate(setting, people, seed, in_browser), setting.inputs)


@torch.no_grad()
def agreements(metric: Metric, triplets: Triplets, held: Held, hidden: Numbers) -> list[float]:
    """Return the agreement of fits to the first judgement, the first two, and so on.

    The fit is that of ``dps-train --triplets``.
    """
    z = channel_distances(metric, triplets, TRAINING_SIZE, torch.device("cpu"))
    first, second = (metric.head.amounts(one) for one in z)
    judge = torch.tensor(triplets.judge)
    return [
        held.score(hidden, fit_importances(first[:count], second[:count], judge[:count]).mode)
        for count in range(1, len(triplets) + 1)
    ]


def _in_browser(
    setting: Setting,
    images: str,
    seed: int,
    hidden: Numbers,
    rng: np.random.Generator,
    number: int,
) -> list[float]:
    """Answer the page by keyboard, and fit to its file; see `judgements.OnThePage`."""
    metric = setting.metric

    def decide(seen: Seen) -> float:
        reference, *candidates = seen
        d0, d1 = picture_amounts(metric, reference, np.stack(candidates)).double().numpy() @ hidden
        if max(d0, d1) < UNSURE * min(d0, d1):
            return CANNOT_SAY
        return float(answers(np.array([d0 - d1]), rng)[0])

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "judgements.csv"
        interrupted = int(rng.integers(FEWEST_JUDGEMENTS, ASKED))
        person = Person(decide, rng)
        judge_in_browser(person, images, out, sittings=(interrupted, ASKED), seed=seed)
        return agreements(metric, read_triplets(out), setting.held, hidden)


__all__ = ["Figures", "measure", "tables"]
