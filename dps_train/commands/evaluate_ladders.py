"""``dps-train evaluate --ladders``: real changes at full size."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict

from dps_infer.commands.shared.run import say
from dps_infer.errors import DpsError, UsageError
from dps_infer.extras import install
from dps_infer.files.write import atomic_file, check_output
from dps_train.commands.options import NAME, EvaluateOptions

OWN_SIZE = "own"
LARGEST_MEGAPIXELS = 50.0


def evaluate_ladders(options: EvaluateOptions) -> None:
    """Measure a metric on ladders of real changes, print the figures, and write the files.

    Raises:
        DpsError: see the functions called.
    """
    for output in (options.json_file, options.plots):
        if output is not None:
            check_output(output, force=options.force, inputs=options.inputs)
    if options.plots is not None and importlib.util.find_spec("jinja2") is None:
        raise DpsError(f"--plots needs jinja2: {install('plot')}")
    sizes = _sizes(options.megapixels)
    from dps_train.evaluate.ladders.measuring import climb, kinds_here
    from dps_train.evaluate.ladders.photographs import load_photographs
    from dps_train.evaluate.ladders.records import LadderReport, SizeFigures
    from dps_train.evaluate.ladders.summary import context_figures, group_summaries, kind_figures
    from dps_train.evaluate.ladders.table import print_ladders
    from dps_train.evaluate.pair_contexts import pair_contexts
    from dps_train.evaluate.pair_target import load_pair_target

    target = load_pair_target(options.path, device=options.device)
    asked = pair_contexts(target, options.contexts, options.ranking, seed=options.seed)
    kinds, left_out = kinds_here()
    for name, why in left_out.items():
        say(NAME, f"note: no ladder {name}: {why}")
    report = LadderReport(
        target=target.name,
        data=options.data,
        seed=options.seed,
        left_out=left_out,
        sizes=[],
    )
    for size in sizes:
        pictures = load_photographs(
            options.data, options.photographs, seed=options.seed, megapixels=size
        )
        climbed, far = climb(target, asked, pictures, kinds)
        figures = context_figures(target, asked, climbed, far)
        report.sizes.append(
            SizeFigures(
                megapixels=size,
                photographs={one.name: [*one.pixels.shape[1::-1]] for one in pictures},
                kinds=kind_figures(target, climbed),
                groups=group_summaries(figures),
                contexts=figures,
            )
        )
    if options.json_file is not None:
        with atomic_file(options.json_file, force=options.force) as temporary:
            temporary.write_text(json.dumps(asdict(report), indent=1, allow_nan=False) + "\n")
    if options.plots is not None:
        from dps_train.evaluate.ladders.page import render

        with atomic_file(options.plots, force=options.force) as temporary:
            temporary.write_text(render(report), encoding="utf-8", errors="xmlcharrefreplace")
    print_ladders(report)


def _sizes(text: str) -> list[float | None]:
    """Return the sizes without duplicates; None stands for the photographs' own."""
    sizes: dict[float | None, None] = {}
    for word in (part.strip() for part in text.split(",")):
        if word == OWN_SIZE:
            sizes[None] = None
            continue
        try:
            size = float(word)
        except ValueError:
            size = 0.0
        if not 0 < size <= LARGEST_MEGAPIXELS:
            raise UsageError(
                f"--megapixels is {text!r}: expected {OWN_SIZE}, or numbers up to "
                f"{LARGEST_MEGAPIXELS:g}, joined by commas, like {OWN_SIZE},0.15,1,4"
            )
        sizes[size] = None
    return list(sizes)
