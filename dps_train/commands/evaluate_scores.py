"""``dps-train evaluate --scores``: agreement with the scores that people gave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dps_infer.commands.shared.run import say
from dps_infer.errors import UsageError
from dps_infer.files.write import atomic_file, check_output
from dps_infer.model.view import View
from dps_infer.runtime.device import Device
from dps_train.commands.options import NAME, Direction, parse_rankings

if TYPE_CHECKING:
    from dps_train.agreement.report import BappsFigures, SetFigures


CONTRADICTED = -0.2
"""If the correlation of every metric is below this, the direction of the scores is likely wrong."""


def evaluate_scores(
    path: Path | None,
    *,
    scores: Sequence[Path],
    higher: Sequence[Direction],
    contexts: str | None,
    ranking: Sequence[str],
    rankings: str | None,
    heads: str | None,
    train_data: str | None,
    bapps: Path | None,
    peers: str | None,
    trunk: Path | None,
    distortions: Sequence[str],
    view: View | None,
    device: Device,
    seed: int,
    json_file: Path | None,
    force: bool,
) -> None:
    """Measure a metric's agreement with people, print the figures, and write the file.

    Args:
        path: a run, ``embedded`` or a context file; None takes the newest run.
        scores: CSV files, or folders of published sets.
        higher: directions of the CSV files; see `dps_train.agreement.scores.read.read_all`.
        contexts: see `dps_train.evaluate.pair_contexts.pair_contexts`; None takes the metric's
            own context, or the general one for a universal metric.
        ranking: further contexts.
        rankings: number of random rankings, or ``all``, to measure the cost of adapting.
        heads: heads to measure, joined by commas; None takes the metric's own.
        train_data: images to train ``lin`` on.
        bapps: folder of people's judgements to measure the same heads on.
        peers: other metrics; see `dps_train.agreement.peers.peer_measures`.
        trunk: weights of LPIPS's network.
        distortions: custom distortions that the metric knows.
        view: view of ``embedded`` or a context file; None takes the file's default.
        device: where networks run.
        seed: of everything random.
        json_file: the file of figures; None writes none.
        force: replace existing outputs.

    Raises:
        DpsError: see the functions called.
    """
    if json_file is not None:
        check_output(json_file, force=force)
    if trunk is not None and peers is None:
        raise UsageError("--lpips-trunk is for --peers lpips: give that option too")
    from dps_train.agreement.heads import Heads
    from dps_train.agreement.peers import peer_measures
    from dps_train.agreement.printing import print_agreement
    from dps_train.agreement.report import bapps_figures, set_figures
    from dps_train.agreement.scores.read import own_file, read_all
    from dps_train.custom.custom_distortion import all_distortions
    from dps_train.custom.find import find_custom
    from dps_train.data.sources import load_training
    from dps_train.devices import pick_device
    from dps_train.evaluate.heads import UNIFORM, chosen_heads
    from dps_train.evaluate.pair_contexts import GENERAL, OWN, Group, pair_contexts
    from dps_train.evaluate.pair_target import load_pair_target
    from dps_train.evaluate.target import load_target
    from dps_train.fit.settings import LIN
    from dps_train.judgements.bapps import read_bapps
    from dps_train.model.metric import Metric
    from dps_train.seeds import generator_for

    known = all_distortions(find_custom(distortions))
    names = tuple(distortion.name for distortion in known)
    count = None if rankings is None else parse_rankings(rankings, len(names))
    sets = read_all(scores, [one is Direction.better for one in higher])
    judgements = None if bapps is None else read_bapps(bapps)
    others = [] if peers is None else peer_measures(peers, trunk=trunk)
    measured = load_target(path, view=None, device=device, names=names)
    asked = chosen_heads(heads, measured, train_data)
    target = load_pair_target(path, view=view, device=device)
    words = [] if contexts is None else [contexts]
    if contexts is None and not ranking:
        words = [GENERAL if target.own is None else OWN]
    words += [] if count is None else [str(count)]
    measured_in = pair_contexts(target, ",".join(words) or None, ranking, seed=seed)
    adapting = any(context.group is Group.rankings for context in measured_in)
    training = None
    if LIN in asked and measured.head != LIN and train_data is not None:
        if not adapting:
            raise UsageError("--heads lin is trained for random rankings: give --rankings 20")
        training = load_training(train_data, generator_for("training images", seed))
    beside = adapting or judgements is not None or {UNIFORM, LIN} & set(asked)
    wanted = Heads(
        target,
        measured.head if measured.head in asked else None,
        measured_in,
        measured.metric if isinstance(measured.metric, Metric) and beside else None,
        training=training,
        seed=seed,
        device=pick_device(device.value),
        distortions=known,
    )
    found = [set_figures(one, wanted.all, [*wanted.measures(), *others], seed) for one in sets]
    judged = None if judgements is None else bapps_figures(wanted.judged(judgements))
    chosen = None if target.view is None else target.view.value
    if json_file is not None:
        report = _report(found, judged, {"target": target.name, "view": chosen, "seed": seed})
        with atomic_file(json_file, force=force) as temporary:
            temporary.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    title = target.name if chosen is None else f"{target.name}, view {chosen}"
    print_agreement(found, judged, title)
    for figures, source in zip(found, scores, strict=True):
        overall = [one.overall.spearman.value or 0.0 for one in figures.metrics.values()]
        if overall and max(overall) < CONTRADICTED and own_file(source):
            say(
                NAME,
                f"note: every metric contradicts {source}: if a higher score means "
                f"{'worse' if figures.higher_is_better else 'better'} in it, give --higher",
            )


def _report(
    sets: Sequence[SetFigures], bapps: BappsFigures | None, about: dict[str, Any]
) -> dict[str, Any]:
    judged = {} if bapps is None else {"bapps": asdict(bapps)}
    return {**about, "sets": [asdict(one) for one in sets], **judged}
