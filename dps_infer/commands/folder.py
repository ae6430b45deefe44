"""``dps-infer folder``: compare two folders, or every two images of one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dps_infer.commands import NAME
from dps_infer.commands.shared import options, run
from dps_infer.commands.shared.ci import GithubOption, JunitOption, begin, write_outcomes
from dps_infer.commands.shared.regions import GateOrRuleOption, IgnoreOption, MaskOption
from dps_infer.commands.shared.rules import ConfigOption, NoConfigOption, read_book
from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device

if TYPE_CHECKING:
    from dps_infer.bulk.approve import Approvals
    from dps_infer.bulk.folder import FolderScores, PairScore
    from dps_infer.bulk.folder_pairs import FolderImages, FolderPair
    from dps_infer.ci.outcome import Outcome
    from dps_infer.compare.metric import Metric

EPILOG = (
    "Exit codes: 0 done; 1 something broke (a folder, a context file, a device); 2 wrong usage; "
    "3 a distance is above its threshold (--threshold, dps.toml); 4 a file has no counterpart or "
    "could not be compared, regardless of the distances of the others; " + options.ENDED
)
Within = tuple[Path, Path] | Path
"""The two folders, or the one folder, that paths are shown relative to."""

SHOWN = 50
"""Default number of rows for people."""
MAX_ERRORS = 20
"""Maximum errors printed on stderr; --json and --output have all."""
MOST_NAMED = 20
"""Maximum names of files that are left out."""


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
    gate: GateOrRuleOption = None,
    ignore: IgnoreOption = None,
    mask: MaskOption = None,
    resize: options.ResizeOrRuleOption = None,
    config: ConfigOption = None,
    no_config: NoConfigOption = False,
    approve: Annotated[
        list[str] | None,
        typer.Option(
            "--approve",
            metavar="GLOB",
            help="Take over this candidate as reference, or those that a glob such as charts/** "
            "matches, if they are new, above the threshold, or of another size. Repeat it for "
            "several.",
        ),
    ] = None,
    approve_all: Annotated[
        bool, typer.Option("--approve-all", help="The same for all candidates.")
    ] = False,
    junit: JunitOption = None,
    github: GithubOption = False,
    device: options.DeviceOption = Device.auto,
    threads: options.ThreadsOption = None,
    debug: run.DebugOption = False,
) -> None:
    """Compare two folders file by file: the worst pairs first, and a summary.

    Files without a counterpart, and files that cannot be compared, are listed on stderr, all
    others are compared, and the exit code is 4. With several contexts (a repeated --ranking, for
    example), each one has a column, and the first one decides the order. A dps.toml states
    contexts and thresholds for some files or all (docs/rules.md). What was approved
    counts as passed.
    """
    from dps_infer.bulk.folder import score_folder
    from dps_infer.files.write import check_output
    from dps_infer.progress import show_progress
    from dps_infer.rules.opened import OpenedRules
    from dps_infer.show.words import describe_run

    if github and as_json:
        raise UsageError("--github prints commands for GitHub, which are no --json: give one")
    resume_github = begin(github)
    book = read_book(
        config=config,
        no_config=no_config,
        context=context,
        ranking=ranking,
        importance=importance,
        context_name=context_name,
        threshold=threshold,
        gate=gate,
        ignore=ignore,
        mask=mask,
        resize=resize,
    )
    pairs = _pairs(reference, candidate, every_two, any_suffix)
    approvals = _approvals(approve or (), approve_all, pairs)
    for path in (output, junit):
        if path is not None:
            check_output(path, force=force, inputs=context or ())
    rules = OpenedRules(book, device=device, threads=threads, note=run.note)
    ruled = {path: rules.rule_of(path) for path in pairs.references}
    used = list(dict.fromkeys(ruled.values()))
    metrics = rules.metrics
    outcomes: list[Outcome] = []

    def note_outcome(scored: PairScore) -> None:
        approvals.note(scored)
        if junit is not None or github:
            from dps_infer.ci.outcome import folder_outcome

            name = " -> ".join(_names(scored.pair, pairs.within))
            outcomes.append(folder_outcome(scored, metrics, name))

    began = time.perf_counter()
    with show_progress("comparing", "pairs") as progress:
        scores = score_folder(
            pairs.pairs,
            pairs.count,
            metrics,
            worst=SHOWN if worst is None and not as_json else worst,
            output=output,
            force=force,
            escape_formulas=escape_formulas,
            progress=progress,
            rules=used,
            rule_of=lambda pair: ruled[pair.reference],
            on_scored=note_outcome,
        )
    seconds = time.perf_counter() - began
    if book.file is not None:
        run.note(f"rules of {book.file.path}")
    shown = (scored.comparisons for scored in scores.worst)
    run.say(NAME, *describe_run(metrics, shown))
    # A reference that cannot be read causes the same error in all of its pairs.
    errors = list(dict.fromkeys(scored.error for scored in scores.failed))
    more = [f"{len(errors) - MAX_ERRORS} more"] if len(errors) > MAX_ERRORS else []
    run.say(NAME, *(f"not compared: {text}" for text in [*errors[:MAX_ERRORS], *more]))
    if not as_json:
        run.print_lines(_lines(scores, metrics, pairs.within, ruled=len(used) > 1))
    write_outcomes(
        outcomes,
        suite="dps-infer folder",
        seconds=seconds,
        junit=junit,
        resume=resume_github,
        force=force,
    )
    approvals.take_over()
    if as_json:
        approved = [_names_record(scored.pair) for scored in approvals.found]
        run.print_json({**_record(scores, metrics), "approved": approved})
    else:
        run.print_lines(run.one_line(line) for line in approvals.lines())
    if len(scores.failed) > approvals.errors:
        raise typer.Exit(options.SOME_FAILED)
    if approvals.above_left:
        raise typer.Exit(options.ABOVE)


@dataclass(frozen=True)
class _Pairs:
    """What is compared.

    Attributes:
        pairs: the pairs.
        count: their number.
        references: all references, in any order.
        within: the two folders, or the one folder, that paths are shown relative to.
    """

    pairs: Iterable[FolderPair]
    count: int
    references: Sequence[Path]
    within: Within


def _pairs(
    reference: Path | None, candidate: Path | None, every_two: Path | None, any_suffix: bool
) -> _Pairs:
    """Return the pairs, and name the files that are left out."""
    from dps_infer.bulk.folder_pairs import all_pairs, find_images, matching_pairs

    if every_two is not None:
        if reference is not None or any_suffix:
            raise UsageError("--all-pairs excludes REF_DIR, CAND_DIR and --any-suffix")
        found = find_images(every_two)
        count, pairs = all_pairs(found)
        _note_left_out(found)
        references = [every_two / file for file in found.files]
        return _Pairs(pairs, count, references, every_two)
    if reference is None or candidate is None:
        raise UsageError("expected two folders, REF_DIR and CAND_DIR, or --all-pairs DIR")
    first, second = find_images(reference), find_images(candidate)
    matched = matching_pairs(first, second, any_suffix=any_suffix)
    _note_left_out(first)
    _note_left_out(second)
    references = [pair.reference for pair in matched]
    return _Pairs(matched, len(matched), references, (reference, candidate))


def _approvals(globs: Sequence[str], everything: bool, pairs: _Pairs) -> Approvals:
    from dps_infer.bulk.approve import Approvals

    if not isinstance(pairs.within, tuple):
        if globs or everything:
            raise UsageError("--all-pairs has no candidates to approve: give two folders")
        return Approvals(pairs.within, ())
    return Approvals(pairs.within[0], pairs.references, globs, everything=everything)


def _note_left_out(found: FolderImages) -> None:
    if found.left_out:
        names = ", ".join(path.as_posix() for path in found.left_out[:MOST_NAMED])
        more = len(found.left_out) - MOST_NAMED
        others = f" and {more} more" if more > 0 else ""
        run.note(f"files left out in {found.folder}, as hidden or no images: {names}{others}")


def _lines(
    scores: FolderScores, metrics: dict[str, Metric], within: Within, *, ruled: bool
) -> list[str]:
    from dps_infer.show.lines import result_lines, ruled_lines, spread_lines

    titles = ["file"] if isinstance(within, tuple) else ["reference", "candidate"]
    rows = [(_names(scored.pair, within), scored.comparisons) for scored in scores.worst]
    if ruled:
        own = [scored.thresholds for scored in scores.worst]
        lines = ruled_lines(titles, [(*r, t) for r, t in zip(rows, own, strict=True)], metrics)
    else:
        thresholds = scores.worst[0].thresholds if scores.worst else {}
        lines = result_lines(titles, rows, metrics, thresholds=thresholds)
    more = scores.compared - len(rows)
    if more:
        lines.insert(len(lines) - len(metrics), f"and {more} more, no farther (--worst)")
    lines.append(
        f"{scores.pairs} pairs: {scores.compared} compared, {scores.identical} identical, "
        f"{len(scores.failed)} not compared"
    )
    return [*lines, *spread_lines(scores.spreads)]


def _names(pair: FolderPair, within: Within) -> list[str]:
    """Return the cells that name the files of a row."""
    if isinstance(within, tuple):
        return [run.one_line(os.path.relpath(pair.candidate, within[1]))]
    files = (pair.reference, pair.candidate)
    return [run.one_line(os.path.relpath(file, within)) for file in files]


def _names_record(pair: FolderPair) -> dict[str, str]:
    return {"reference": str(pair.reference), "candidate": str(pair.candidate)}


def _record(scores: FolderScores, metrics: dict[str, Metric]) -> dict[str, Any]:
    from dps_infer.show.records import contexts_record, pair_record, spreads_record

    return {
        "contexts": contexts_record(metrics),
        "pairs": [
            {
                **_names_record(scored.pair),
                **pair_record(scored.comparisons, thresholds=scored.thresholds),
            }
            for scored in scores.worst
        ],
        "not_compared": [
            {**_names_record(scored.pair), "error": scored.error} for scored in scores.failed
        ],
        "summary": {
            "pairs": scores.pairs,
            "compared": scores.compared,
            "identical": scores.identical,
            "not_compared": len(scores.failed),
            "results": spreads_record(scores.spreads),
        },
    }
