"""How many judgements a context takes: chosen at random, or by the page of ``dps-train judge``.

    python -m benchmarks.judgements --data photographs/train --test-data photographs/val
    python -m benchmarks.judgements --data photographs/train --test-data photographs/val --browser

A simulated person has hidden importances (log-normal, sigma 1.2) of what the embedded metric
sees, and one answer in ten is wrong. Importances are fitted to the answers, and agreement is
the share of held-out triplets that they decide as the hidden ones do, without wrong
answers. A triplet is a reference and two changes of it, each of one or two distortions of
random strength.

What the page asks is answered to its own session in this process, or with ``--browser`` to the
program itself, by keyboard in a browser without a window; then the amounts are those of
the pictures in the browser, and the fit is that of ``dps-train --triplets`` to the file. In mid-run
the program and the browser are closed and opened again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import numpy as np
import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dps_infer.commands.shared.run import DebugOption, run, say
from dps_train.bank.bank import FeatureDistances
from dps_train.contexts import AMOUNTS
from dps_train.data.crops import TRAINING_SIZE, resize_images
from dps_train.data.sources import Images, load_held_out, load_training
from dps_train.distortions.families import draw_family
from dps_train.fit.from_judgements import channel_distances
from dps_train.judge.answers import AnswerFile
from dps_train.judge.pool import Pool, draw_pool, picture_amounts
from dps_train.judge.session import CANNOT_SAY, Session
from dps_train.judgements.importances import (
    Numbers,
    fit_differences,
    fit_importances,
    scaled_differences,
)
from dps_train.judgements.read_triplets import FEWEST_JUDGEMENTS, read_triplets
from dps_train.judgements.triplets import Triplets
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for

NAME = "judgements"
SPREAD = 1.2
WRONG = 0.1
APART = 1.1
"""Ratio of the distances from which a triplet is no near tie."""

COUNTS = (20, 100, 500)
GOALS = (0.88, 0.93, 0.95)
REACHED = 0.92
ASKED = 40
PAGE_COUNTS = range(5, ASKED + 1, 5)
MOST_RANDOM = 150

UNSURE = 1.02
"""Ratio of the distances below which a person in the browser cannot say."""

FAMILY = (("graded", 2), ("two", 4))
MEMBERS = torch.tensor([0, 1, 4, 5])
"""Of the family: one distortion, weaker or stronger, and two in either order."""

BATCH = 100

app = typer.Typer(
    name=NAME, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@dataclass(frozen=True)
class Report:
    """Agreement averaged over the hidden importances.

    Attributes:
        people: how many hidden importances.
        random: by the number of random triplets, on held-out triplets that are no near ties.
        random_all: the same on all held-out triplets.
        page: by the number of answers on the page, on those that are no near ties.
        page_answers: from which on the page stays above `REACHED`; None: later than `ASKED`.
        random_answers: likewise of random triplets from the page's own pool; None: later than
            `MOST_RANDOM`.
        saving: share of the random triplets' answers that the page does without; None where
            either is.
    """

    people: int
    random: dict[int, float]
    random_all: dict[int, float]
    page: dict[int, float]
    page_answers: int | None
    random_answers: int | None
    saving: float | None


OnThePage = Callable[[Numbers, np.random.Generator, int], list[float]]
"""The agreement after each of `ASKED` answers of a person: hidden importances, what draws
their mistakes, and their number."""


@dataclass(frozen=True)
class Held:
    """Triplets to score on: amounts of both candidates [T, A]."""

    first: Tensor
    second: Tensor

    def score(self, hidden: Numbers, fitted: Numbers, *, near_ties: bool = False) -> float:
        """Return in what share of them fitted importances decide as hidden ones do."""
        first, second = self.first.double().numpy(), self.second.double().numpy()
        d0, d1 = first @ hidden, second @ hidden
        counted = np.maximum(d0, d1) >= (1 if near_ties else APART) * np.minimum(d0, d1)
        agree = (first @ fitted > second @ fitted) == (d0 > d1)
        return float(agree[counted].mean())


@app.command()
def judgements(
    data: Annotated[str, typer.Option(help="Images to judge: a folder, or `sample`.")] = "sample",
    test_data: Annotated[
        str, typer.Option(help="Images of the held-out triplets: a folder, or `sample`.")
    ] = "sample",
    people: Annotated[int, typer.Option(min=1, help="How many hidden importances.")] = 10,
    triplets: Annotated[int, typer.Option(min=500, help="Triplets to draw, of each kind.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser", help="Answer on the page itself, by keyboard.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    debug: DebugOption = False,
) -> None:
    """Measure how many judgements a context takes."""
    generator = generator_for(NAME, seed)
    metric = load_universal()
    say(NAME, "random triplets")
    asked = draw_triplets(metric, load_training(data, generator), triplets, generator)
    held = Held(*draw_triplets(metric, load_held_out(test_data, generator), triplets, generator))
    say(NAME, "the page")
    # That of `dps-train judge` with this seed.
    pool = draw_pool(data, metric, generator_for("judge", seed), Path("none"))
    on_the_page: OnThePage = partial(_to_its_session, metric, pool, held)
    if browser:
        on_the_page = partial(_in_the_browser, metric, data, seed, held)
    report = measure(asked, pool, held, people, seed, on_the_page)
    print_report(report, as_json=as_json)


def draw_triplets(
    metric: Metric, images: Images, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw triplets whose references are the images in turn: amounts of the candidates [T, A]."""
    distances = FeatureDistances(
        metric.preprocess, metric.backbone, metric.comparison, torch.device("cpu")
    )
    rows = torch.arange(count) % len(images.images)
    whole_images = resize_images(images.images, TRAINING_SIZE)
    first, second = [], []
    for some in rows.split(BATCH):
        references = whole_images[some]
        maps = distances.maps(references)
        for amounts in (first, second):
            family = torch.stack([d.images for d in draw_family(references, generator, FAMILY)])
            member = MEMBERS[torch.randint(len(MEMBERS), (len(some),), generator=generator)]
            changed = family[member, torch.arange(len(some))]
            with torch.no_grad():
                amounts.append(metric.head.amounts(distances.z(maps, changed)))
    return torch.cat(first), torch.cat(second)


def measure(
    asked: tuple[Tensor, Tensor],
    pool: Pool,
    held: Held,
    people: int,
    seed: int,
    on_the_page: OnThePage,
) -> Report:
    """Let every simulated person answer random triplets, and on the page."""
    differences = scaled_differences(*asked)
    rows: list[list[float]] = []
    rows_all: list[list[float]] = []
    page: list[list[float]] = []
    rand: list[list[float]] = []
    for number in range(people):
        rng = np.random.default_rng([seed, number])
        hidden = np.exp(SPREAD * rng.standard_normal(len(AMOUNTS)))
        order = rng.permutation(len(differences))
        answers = _answers(differences @ hidden, rng)
        fits = [
            fit_differences(differences[order[:count]], answers[order[:count]]).mode
            for count in COUNTS
        ]
        rows.append([held.score(hidden, fitted) for fitted in fits])
        rows_all.append([held.score(hidden, fitted, near_ties=True) for fitted in fits])
        page.append(on_the_page(hidden, rng, number))
        rand.append(_at_random(pool, hidden, held, rng))
        say(NAME, f"person {number + 1} of {people}")
    curve = np.mean(page, axis=0)
    page_answers, random_answers = _reached(curve), _reached(np.mean(rand, axis=0))
    saving = None
    if page_answers is not None and random_answers is not None:
        saving = 1 - page_answers / random_answers
    return Report(
        people=people,
        random=dict(zip(COUNTS, np.mean(rows, axis=0).tolist(), strict=True)),
        random_all=dict(zip(COUNTS, np.mean(rows_all, axis=0).tolist(), strict=True)),
        page={count: float(curve[count - 1]) for count in PAGE_COUNTS},
        page_answers=page_answers,
        random_answers=random_answers,
        saving=saving,
    )


def _to_its_session(
    metric: Metric,
    pool: Pool,
    held: Held,
    hidden: Numbers,
    rng: np.random.Generator,
    number: int,
) -> list[float]:
    """Answer what the page would ask, without a browser: see `OnThePage`."""
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        session = Session(AnswerFile(Path(folder) / "judgements.csv"), metric, pool, number)
        for count in range(1, ASKED + 1):
            question = session.question
            assert question is not None
            (judge,) = _answers(question.difference[None] @ hidden, rng)
            assert session.answer(count, judge)
            scores.append(held.score(hidden, session.fitted.mode))
    return scores


def _in_the_browser(
    metric: Metric,
    data: str,
    seed: int,
    held: Held,
    hidden: Numbers,
    rng: np.random.Generator,
    number: int,
) -> list[float]:
    """Answer the page by keyboard, and fit to its file: see `OnThePage`."""
    from benchmarks.keyboard_judge import Person, Seen, judge_in_browser

    def decide(seen: Seen) -> float:
        reference, *candidates = seen
        d0, d1 = picture_amounts(metric, reference, np.stack(candidates)).double().numpy() @ hidden
        if max(d0, d1) < UNSURE * min(d0, d1):
            return CANNOT_SAY
        return float(_answers(np.array([d0 - d1]), rng)[0])

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "judgements.csv"
        left = int(rng.integers(FEWEST_JUDGEMENTS, ASKED))
        judge_in_browser(Person(decide, rng), data, out, sittings=(left, ASKED), seed=seed)
        return agreements(metric, read_triplets(out), held, hidden)


@torch.no_grad()
def agreements(metric: Metric, triplets: Triplets, held: Held, hidden: Numbers) -> list[float]:
    """Return the agreement of a fit as in ``dps-train --triplets`` to the first row, two, ...."""
    z = channel_distances(metric, triplets, TRAINING_SIZE, torch.device("cpu"))
    first, second = (metric.head.amounts(one) for one in z)
    judge = torch.tensor(triplets.judge)
    return [
        held.score(hidden, fit_importances(first[:count], second[:count], judge[:count]).mode)
        for count in range(1, len(triplets) + 1)
    ]


def _at_random(pool: Pool, hidden: Numbers, held: Held, rng: np.random.Generator) -> list[float]:
    """Return the agreement after each of `MOST_RANDOM` answers to random triplets of the pool."""
    rows = rng.permutation(len(pool.triplets))[:MOST_RANDOM]
    differences = pool.differences[rows]
    answers = _answers(differences @ hidden, rng)
    return [
        held.score(hidden, fit_differences(differences[:count], answers[:count]).mode)
        for count in range(1, len(rows) + 1)
    ]


def _answers(further: Numbers, rng: np.random.Generator) -> Numbers:
    """Return who is closer, one in ten wrong; `further` is by how much the first is farther."""
    right = further > 0
    answers: Numbers = np.where(rng.random(len(right)) < WRONG, ~right, right).astype(np.float64)
    return answers


def _reached(curve: Numbers) -> int | None:
    """Return from how many answers on the agreement stays at `REACHED` or above.

    ``dps-train`` takes no fewer than `FEWEST_JUDGEMENTS`.
    """
    below = np.flatnonzero(curve < REACHED)
    count = max(FEWEST_JUDGEMENTS, int(below[-1]) + 2 if len(below) else 1)
    return count if count <= len(curve) else None


def print_report(report: Report, *, as_json: bool) -> None:
    """Print the figures, for people or for programs."""
    if as_json:
        print(json.dumps(asdict(report), indent=2, allow_nan=False))
        return
    table = Table(
        "triplets",
        "answers",
        "agreement",
        "with near ties",
        "goal",
        title=f"{report.people} hidden importances, one answer in ten wrong",
        box=box.SIMPLE,
    )
    for (count, score), goal in zip(report.random.items(), GOALS, strict=True):
        table.add_row(
            "random", str(count), f"{score:.3f}", f"{report.random_all[count]:.3f}", f"{goal}"
        )
    table.add_section()
    for count, score in report.page.items():
        table.add_row("the page's", str(count), f"{score:.3f}", "", "")
    table.add_section()
    for name, answers, most in (
        ("the page's", report.page_answers, ASKED),
        ("random, of its pool", report.random_answers, MOST_RANDOM),
    ):
        table.add_row(name, f"{answers or f'above {most}'}", f"from here on {REACHED}")
    if report.saving is not None:
        table.add_row("saved by the page", f"{report.saving:.0%}")
    Console(highlight=False).print(table)


def main() -> NoReturn:
    """Run the benchmark and leave with its exit code."""
    run(app, NAME)


if __name__ == "__main__":
    main()
