"""``dps-infer video``: compare two videos frame by frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.commands.shared import run
from dps_infer.commands.shared.notes import note, note_run
from dps_infer.commands.shared.options import (
    ABOVE,
    SOME_FAILED,
    ContextNamesOption,
    ContextsOption,
    DeviceOption,
    ForceOption,
    ImportancesOption,
    JsonOption,
    RankingsOption,
    ResizeOption,
    ThreadsOption,
    ThresholdOption,
    ViewOption,
)
from dps_infer.commands.shared.run import DebugOption
from dps_infer.compare.open import open_metrics
from dps_infer.runtime.device import Device

if TYPE_CHECKING:
    from dps_infer.compare.metric import Metric
    from dps_infer.show.table import Thresholds
    from dps_infer.video.compare import VideoScores

NAME = "dps-infer"
EPILOG = (
    "Exit codes: 0 done; 1 something broke (a video, a context file, a device); 2 wrong usage; "
    "3 a distance is above the threshold that --threshold states; 4 one video ends before the "
    "other, or is damaged at its end, whatever the distances before."
)
RESULTS, PLOT, WORST = "frames.csv", "plot.png", "worst"


def video(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="The video to compare with.")
    ],
    candidate: Annotated[
        Path, typer.Argument(metavar="CANDIDATE", help="The video that may be different.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help=f"A folder to make, with {RESULTS} (a row a frame), {PLOT} (the distances over "
            f"time) and {WORST}/ (the worst frames, each as reference, candidate and heat map).",
        ),
    ],
    context: ContextsOption = None,
    ranking: RankingsOption = None,
    importance: ImportancesOption = None,
    context_name: ContextNamesOption = None,
    view: ViewOption = None,
    every: Annotated[
        int | None,
        typer.Option(min=1, metavar="NUMBER", help="Compare every NUMBER-th frame.  [default: 1]"),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Instead of --every, compare so many frames a second, matched by time. Videos of "
            "different frame rates need it.",
        ),
    ] = None,
    start: Annotated[
        float, typer.Option(metavar="SECONDS", help="Begin at this time of both videos.")
    ] = 0.0,
    duration: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Compare so many seconds of them.  [default: all]"),
    ] = None,
    worst: Annotated[
        int,
        typer.Option(
            min=0,
            max=1000,
            metavar="NUMBER",
            help="How many frames, those with the largest distances, to show as pictures. They "
            "are held in memory.",
        ),
    ] = 5,
    plot: Annotated[
        bool | None,
        typer.Option(
            "--plot/--no-plot",
            help="Plot the distances over time.  [default: if matplotlib is installed]",
        ),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    threshold: ThresholdOption = None,
    device: DeviceOption = Device.auto,
    threads: ThreadsOption = None,
    resize: ResizeOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare two videos frame by frame: a distance a frame, the worst frames, and a summary.

    Memory stays the same for videos of any length. Different sizes and frame rates are refused
    unless --resize and --fps say what to do; of different lengths, the shorter one counts, and
    the exit code is 4. Several contexts (--ranking given twice, say) are a column and a line
    each; the first one decides which frames are the worst.
    """
    metrics = open_metrics(
        context,
        ranking,
        importance,
        context_name,
        device=device,
        threads=threads,
        note=note,
    )
    from dps_infer.bulk.thresholds import resolve_thresholds
    from dps_infer.files.write import atomic_folder, check_output
    from dps_infer.progress import shown
    from dps_infer.video.compare import compare_videos
    from dps_infer.video.frames import ClipPair, Sampling
    from dps_infer.video.pictures import can_plot, check_plot, save_plot, save_worst

    thresholds = resolve_thresholds(threshold, metrics, view=view)
    check_output(output, force=force, folder=True)
    if plot:
        check_plot()
    sampling = Sampling(every=every, fps=fps, start=start, duration=duration)
    clips = ClipPair(reference, candidate, sampling, resize=resize)
    with atomic_folder(output, force=force) as folder:
        with shown("comparing", "frames") as progress:
            scores = compare_videos(
                clips,
                metrics,
                folder / RESULTS,
                view=view,
                resize=resize,
                thresholds=thresholds,
                worst=worst,
                progress=progress,
            )
        plotted = can_plot() if plot is None else plot
        if plotted:
            save_plot(scores, metrics, folder / PLOT, thresholds=thresholds)
        pictures = save_worst(scores.worst, metrics, folder / WORST, view=view, resize=resize)
    note_run(metrics, (scored.comparisons for scored in scores.worst))
    if plot is None and not plotted:
        run.say(NAME, 'note: no plot without matplotlib: pip install "dps-toolkit[plot]"')
    if scores.remark is not None:
        run.say(NAME, f"note: {scores.remark}")
    if as_json:
        record = {
            "reference": str(reference),
            "candidate": str(candidate),
            "output": str(output),
            **_record(scores, metrics, thresholds),
            "results_file": str(output / RESULTS),
            "plot": str(output / PLOT) if plotted else None,
            "pictures": [str(output / WORST / path.name) for path in pictures],
        }
        typer.echo(json.dumps(record, indent=2, allow_nan=False))
    else:
        for line in [*_words(scores, metrics, thresholds), f"written to {output}"]:
            typer.echo(run.printable(line))
    if scores.remark is not None:
        raise typer.Exit(SOME_FAILED)
    if any(spread.above for spread in scores.spreads.values()):
        raise typer.Exit(ABOVE)


def _words(scores: VideoScores, metrics: dict[str, Metric], thresholds: Thresholds) -> list[str]:
    from dps_infer.show.table import legend, summary, table

    rows = [
        ([str(scored.pair.frame), f"{scored.pair.time:.3f} s"], scored.comparisons)
        for scored in scores.worst
    ]
    titles = ["frame", "time"]
    lines = table(titles, rows, metrics, thresholds=thresholds) if rows else legend(metrics)
    lines.append(f"{scores.frames} frames compared, {scores.identical} identical")
    return [*lines, *summary(scores.spreads, scores.frames, thresholds)]


def _record(
    scores: VideoScores, metrics: dict[str, Metric], thresholds: Thresholds
) -> dict[str, object]:
    from dps_infer.show.table import contexts_record, pair_record

    return {
        "contexts": contexts_record(metrics),
        "frames": scores.frames,
        "identical": scores.identical,
        "remark": scores.remark,
        "results": {
            label: {
                "median": spread.median,
                "largest": spread.largest,
                "threshold": thresholds[label],
                "above": spread.above,
            }
            for label, spread in scores.spreads.items()
        },
        "worst": [
            {
                "frame": scored.pair.frame,
                "time": scored.pair.time,
                **pair_record(scored.comparisons, thresholds=thresholds),
            }
            for scored in scores.worst
        ],
    }
