"""``dps-infer folder``: compare two folders, or every two images of one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dps_infer.commands import NAME
from dps_infer.commands.shared import options, run
from dps_infer.commands.shared.regions import GateOption, IgnoreOption, MaskOption, read_ignored
from dps_infer.compare.regions.gate import Gate
from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device

if TYPE_CHECKING:
    from dps_infer.bulk.folder import FolderScores
    from dps_infer.bulk.folder_pairs import FolderPair
    from dps_infer.compare.metric import Metric
    from dps_infer.compare.summary import Thresholds

EPILOG = (
    "Exit codes: 0 done; 1 something broke (a folder, a context file, a device); 2 wrong usage; "
    "3 a distance is above the threshold given by --threshold; 4 a file has no counterpart or "
    "could not be compared, regardless of the distances of the others; " + options.ENDED
)
SHOWN = 50
"""Default number of rows for people."""
MAX_ERRORS = 20
"""Maximum errors printed on stderr; --json and --output have all."""


def folder(
    reference: Annotated[
        Path | None, typer.Argument(metavar="REF_DIR", help="The folder to compare with.")
    ] = None,
    candidate: Annotated[
        Path | None,
        typer.Argument(
            metavar="CAND_DIR",
            help="The folder whose images may be different. Files with the same relative path are "
            "a pair, also in subfolders. Only images are compared, by their suffix (.png, .jpg, "
            ".webp, ...) or their first bytes, and none whose name begins with a dot.",
        ),
    ] = None,
    every_two: Annotated[
        Path | None,
        typer.Option(
            "--all-pairs",
            metavar="DIR",
            help="Instead of two folders, compare every two images of this one.",
        ),
    ] = None,
    any_suffix: Annotated[
        bool,
        typer.Option(
            "--any-suffix", help="Ignore suffixes when pairing: a/b.png and a/b.jpg are a pair."
        ),
    ] = False,
    context: options.ContextsOption = None,
    ranking: options.RankingsOption = None,
    importance: options.ImportancesOption = None,
    context_name: options.ContextNamesOption = None,
    worst: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="NUMBER",
            help="Number of pairs to show, the largest distances first.  [default: "
            f"{SHOWN}; with --json, all]",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Also write all results to this file: .csv, .jsonl or .parquet. dps-infer report "
            "makes a page of it.",
        ),
    ] = None,
    escape_formulas: options.EscapeOption = False,
    force: options.ForceOption = False,
    as_json: options.JsonOption = False,
    threshold: options.ThresholdOption = None,
    gate: GateOption = Gate.whole,
    ignore: IgnoreOption = None,
    mask: MaskOption = None,
    device: options.DeviceOption = Device.auto,
    threads: options.ThreadsOption = None,
    resize: options.ResizeOption = False,
    debug: run.DebugOption = False,
) -> None:
    """Compare two folders file by file: the worst pairs first, and a summary.

    Files without a counterpart, and files that cannot be compared, are listed on stderr, all
    others are compared, and the exit code is 4. With several contexts (a repeated --ranking, for
    example), each one has a column, and the first one decides the order.
    """
    from dps_infer.bulk.folder import score_folder
    from dps_infer.bulk.thresholds import resolve_thresholds
    from dps_infer.compare.open import open_metrics
    from dps_infer.files.write import check_output
    from dps_infer.progress import show_progress
    from dps_infer.show.words import describe_run

    pairs, count, within = _pairs(reference, candidate, every_two, any_suffix)
    if output is not None:
        check_output(output, force=force, inputs=context or ())
    metrics = open_metrics(
        context, ranking, importance, context_name, device=device, threads=threads, note=run.note
    )
    thresholds = resolve_thresholds(threshold, metrics)
    ignored = read_ignored(ignore, mask)
    with show_progress("comparing", "pairs") as progress:
        scores = score_folder(
            pairs,
            count,
            metrics,
            resize=resize,
            regions=gate if gate is Gate.worst else None,
            ignored=ignored,
            thresholds=thresholds,
            worst=SHOWN if worst is None and not as_json else worst,
            output=output,
            force=force,
            escape_formulas=escape_formulas,
            progress=progress,
        )
    shown = (scored.comparisons for scored in scores.worst)
    run.say(NAME, *describe_run(metrics, shown))
    # A reference that cannot be read causes the same error in all of its pairs.
    errors = list(dict.fromkeys(scored.error for scored in scores.failed))
    more = [f"{len(errors) - MAX_ERRORS} more"] if len(errors) > MAX_ERRORS else []
    run.say(NAME, *(f"not compared: {text}" for text in [*errors[:MAX_ERRORS], *more]))
    if as_json:
        run.print_json(_record(scores, metrics, thresholds))
    else:
        run.print_lines(_lines(scores, metrics, thresholds, within))
    if scores.failed:
        raise typer.Exit(options.SOME_FAILED)
    if scores.above:
        raise typer.Exit(options.ABOVE)


Within = tuple[Path, Path] | Path
"""The two folders, or the one folder, that paths are shown relative to."""


def _pairs(
    reference: Path | None, candidate: Path | None, every_two: Path | None, any_suffix: bool
) -> tuple[Iterable[FolderPair], int, Within]:
    """Return the pairs, their number, and the folders that contain them."""
    from dps_infer.bulk.folder_pairs import all_pairs, find_images, matching_pairs

    if every_two is not None:
        if reference is not None or any_suffix:
            raise UsageError("--all-pairs excludes REF_DIR, CAND_DIR and --any-suffix")
        found = find_images(every_two)
        count, pairs = all_pairs(found)
        _note_left_out(found.left_out)
        return pairs, count, every_two
    if reference is None or candidate is None:
        raise UsageError("expected two folders, REF_DIR and CAND_DIR, or --all-pairs DIR")
    first, second = find_images(reference), find_images(candidate)
    matched = matching_pairs(first, second, any_suffix=any_suffix)
    _note_left_out(first.left_out + second.left_out)
    return matched, len(matched), (reference, candidate)


def _note_left_out(count: int) -> None:
    if count:
        run.note(f"files left out, as hidden or no images: {count}")


def _lines(
    scores: FolderScores, metrics: dict[str, Metric], thresholds: Thresholds, within: Within
) -> list[str]:
    from dps_infer.show.lines import result_lines, spread_lines

    rows = [(_names(scored.pair, within), scored.comparisons) for scored in scores.worst]
    titles = ["file"] if isinstance(within, tuple) else ["reference", "candidate"]
    lines = result_lines(titles, rows, metrics, thresholds=thresholds)
    more = scores.compared - len(rows)
    if more:
        lines.insert(len(rows) + 1 if rows else 0, f"and {more} more, no farther (--worst)")
    lines.append(
        f"{scores.pairs} pairs: {scores.compared} compared, {scores.identical} identical, "
        f"{len(scores.failed)} not compared"
    )
    return [*lines, *spread_lines(scores.spreads, scores.compared, thresholds)]


def _names(pair: FolderPair, within: Within) -> list[str]:
    """Return the cells that name the files of a row."""
    if isinstance(within, tuple):
        return [run.one_line(os.path.relpath(pair.candidate, within[1]))]
    files = (pair.reference, pair.candidate)
    return [run.one_line(os.path.relpath(file, within)) for file in files]


def _record(
    scores: FolderScores, metrics: dict[str, Metric], thresholds: Thresholds
) -> dict[str, Any]:
    from dps_infer.show.records import contexts_record, pair_record, spreads_record

    def names(pair: FolderPair) -> dict[str, str]:
        return {"reference": str(pair.reference), "candidate": str(pair.candidate)}

    return {
        "contexts": contexts_record(metrics),
        "pairs": [
            {**names(scored.pair), **pair_record(scored.comparisons, thresholds=thresholds)}
            for scored in scores.worst
        ],
        "not_compared": [{**names(scored.pair), "error": scored.error} for scored in scores.failed],
        "summary": {
            "pairs": scores.pairs,
            "compared": scores.compared,
            "identical": scores.identical,
            "not_compared": len(scores.failed),
            "results": spreads_record(scores.spreads, thresholds),
        },
    }
