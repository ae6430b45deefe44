"""``dps-train evaluate --scores``: agreement with the scores that people gave."""

from __future__ import annotations

import json
from dataclasses import asdict

from dps_infer.commands.shared.run import say
from dps_infer.errors import UsageError
from dps_infer.files.write import atomic_file, check_output
from dps_train.commands.options import NAME, Direction, EvaluateOptions, parse_rankings

CONTRADICTED = -0.2
"""If the correlation of every metric is below this, the direction of the scores is likely wrong."""


def evaluate_scores(options: EvaluateOptions) -> None:
    """Measure a metric's agreement with people, print the figures, and write the file.

    Raises:
        DpsError: see the functions called.
    """
    if options.json_file is not None:
        check_output(options.json_file, force=options.force, inputs=options.inputs)
    if options.lpips_trunk is not None and options.peers is None:
        raise UsageError("--lpips-trunk is for --peers lpips: give that option too")
    from dps_train.agreement.heads import Heads
    from dps_train.agreement.peers import peer_measures
    from dps_train.agreement.printing import print_agreement
    from dps_train.agreement.report import AgreementReport, bapps_figures, set_figures
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

    known = all_distortions(find_custom(options.distortions))
    names = tuple(distortion.name for distortion in known)
    count = None if options.rankings is None else parse_rankings(options.rankings, len(names))
    sets = read_all(options.scores, [one is Direction.better for one in options.higher])
    judgements = None if options.bapps is None else read_bapps(options.bapps)
    others = (
        [] if options.peers is None else peer_measures(options.peers, trunk=options.lpips_trunk)
    )
    measured = load_target(options.path, device=options.device, names=names)
    asked = chosen_heads(options.heads, measured, options.train_data)
    target = load_pair_target(options.path, device=options.device)
    words = [] if options.contexts is None else [options.contexts]
    if options.contexts is None and not options.ranking:
        words = [GENERAL if target.own is None else OWN]
    words += [] if count is None else [str(count)]
    measured_in = pair_contexts(target, ",".join(words) or None, options.ranking, seed=options.seed)
    adapting = any(context.group is Group.rankings for context in measured_in)
    training = None
    if LIN in asked and measured.head != LIN and options.train_data is not None:
        if not adapting:
            raise UsageError("--heads lin is trained for random rankings: give --rankings 20")
        training = load_training(options.train_data, generator_for("training images", options.seed))
    beside = adapting or judgements is not None or {UNIFORM, LIN} & set(asked)
    wanted = Heads(
        target,
        measured.head if measured.head in asked else None,
        measured_in,
        measured.metric if isinstance(measured.metric, Metric) and beside else None,
        training=training,
        seed=options.seed,
        device=pick_device(options.device.value),
        distortions=known,
    )
    found = [
        set_figures(one, wanted.all, [*wanted.measures(), *others], options.seed) for one in sets
    ]
    judged = None if judgements is None else bapps_figures(wanted.judged(judgements))
    if options.json_file is not None:
        report = asdict(AgreementReport(target.name, options.seed, found, judged))
        with atomic_file(options.json_file, force=options.force) as temporary:
            temporary.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    print_agreement(found, judged, target.name)
    for figures, source in zip(found, options.scores, strict=True):
        overall = [one.overall.spearman.value or 0.0 for one in figures.metrics.values()]
        if overall and max(overall) < CONTRADICTED and own_file(source):
            say(
                NAME,
                f"note: every metric contradicts {source}: if a higher score means "
                f"{'worse' if figures.higher_is_better else 'better'} in it, give --higher",
            )
