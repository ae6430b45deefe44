"""``dps-infer video``: compare two videos frame by frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dps_infer.commands import NAME
from dps_infer.commands.shared import options, run
from dps_infer.commands.shared.regions import GateOption, IgnoreOption, MaskOption, read_ignored
from dps_infer.compare.regions.gate import Gate
from dps_infer.extras import install
from dps_infer.runtime.device import Device

if TYPE_CHECKING:
    from dps_infer.compare.metric import Metric
    from dps_infer.compare.summary import Thresholds
    from dps_infer.video.compare import VideoScores

EPILOG = (
    "Exit codes: 0 done; 1 something broke (a video, a context file, a device); 2 wrong usage; "
    "3 a distance is above the threshold given by --threshold; 4 one video ends before the other, "
    "or is damaged at its end, regardless of the distances before; " + options.ENDED
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
            help=f"The folder to make, with {RESULTS} (one row per frame), {PLOT} (the distances "
            f"over time) and {WORST}/ (the worst frames: reference, candidate and heat map).",
        ),
    ],
    context: options.ContextsOption = None,
    ranking: options.RankingsOption = None,
    importance: options.ImportancesOption = None,
    context_name: options.ContextNamesOption = None,
    every: Annotated[
        int | None,
        typer.Option(min=1, metavar="NUMBER", help="Compare every NUMBER-th frame.  [default: 1]"),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Instead of --every, compare NUMBER frames per second, matched by time. Needed "
            "for videos of different frame rates.",
        ),
    ] = None,
    start: Annotated[
        float, typer.Option(metavar="SECONDS", help="Start at this time of both videos.")
    ] = 0.0,
    duration: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Compare only this long.  [default: to the end]"),
    ] = None,
    worst: Annotated[
        int,
        typer.Option(
            min=0,
            max=1000,
            metavar="NUMBER",
            help="Number of frames, those with the largest distances, to show as pictures. They "
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
    """Compare two videos frame by frame: a distance per frame, the worst frames, and a summary.

    Memory does not grow with the length of the videos. Different sizes need --resize, different
    frame rates --fps. If the lengths differ, the comparison ends with the shorter video, and the
    exit code is 4. With several contexts (a repeated --ranking, for example), each one has a
    column and a line in the plot, and the first one decides which frames are the worst.
    """
    from dps_infer.bulk.thresholds import resolve_thresholds
    from dps_infer.compare.open import open_metrics
    from dps_infer.files.write import atomic_folder, check_output
    from dps_infer.progress import show_progress
    from dps_infer.show.words import describe_run
    from dps_infer.video.compare import compare_videos
    from dps_infer.video.frames import ClipPair, Sampling
    from dps_infer.video.pictures import can_plot, check_plot, save_plot, save_worst

    metrics = open_metrics(
        context, ranking, importance, context_name, device=device, threads=threads, note=run.note
    )
    thresholds = resolve_thresholds(threshold, metrics)
    ignored = read_ignored(ignore, mask)
    inputs = [reference, candidate, *(context or ())]
    check_output(output, force=force, folder=True, inputs=inputs)
    if plot:
        check_plot()
    sampling = Sampling(every=every, fps=fps, start=start, duration=duration)
    clips = ClipPair(reference, candidate, sampling, resize=resize)
    with atomic_folder(output, force=force) as folder:
        with show_progress("comparing", "frames") as progress:
            scores = compare_videos(
                clips,
                metrics,
                folder / RESULTS,
                resize=resize,
                regions=gate if gate is Gate.worst else None,
                ignored=ignored,
                thresholds=thresholds,
                worst=worst,
                escape_formulas=escape_formulas,
                progress=progress,
            )
        plotted = can_plot() if plot is None else plot
        if plotted:
            save_plot(scores, metrics, folder / PLOT, thresholds=thresholds)
        pictures = save_worst(scores.worst, metrics, folder / WORST, resize=resize, ignored=ignored)
    shown = (scored.comparisons for scored in scores.worst)
    run.say(NAME, *describe_run(metrics, shown))
    if plot is None and not plotted:
        run.note(f"no plot without matplotlib: {install('plot')}")
    if scores.remark is not None:
        run.note(scores.remark)
    if as_json:
        run.print_json(
            {
                "reference": str(reference),
                "candidate": str(candidate),
                "output": str(output),
                **_record(scores, metrics, thresholds),
                "results_file": str(output / RESULTS),
                "plot": str(output / PLOT) if plotted else None,
                "pictures": [str(output / WORST / path.name) for path in pictures],
            }
        )
    else:
        run.print_lines([*_lines(scores, metrics, thresholds), f"written to {output}"])
    if scores.remark is not None:
        raise typer.Exit(options.SOME_FAILED)
    if any(spread.above for spread in scores.spreads.values()):
        raise typer.Exit(options.ABOVE)


def _lines(scores: VideoScores, metrics: dict[str, Metric], thresholds: Thresholds) -> list[str]:
    from dps_infer.show.lines import result_lines, spread_lines

    rows = [
        ([str(scored.pair.frame), f"{scored.pair.time:.3f} s"], scored.comparisons)
        for scored in scores.worst
    ]
    lines = result_lines(["frame", "time"], rows, metrics, thresholds=thresholds)
    lines.append(f"{scores.frames} frames compared, {scores.identical} identical")
    return [*lines, *spread_lines(scores.spreads)]


def _record(
    scores: VideoScores, metrics: dict[str, Metric], thresholds: Thresholds
) -> dict[str, Any]:
    from dps_infer.show.records import contexts_record, pair_record, spreads_record

    return {
        "contexts": contexts_record(metrics),
        "frames": scores.frames,
        "identical": scores.identical,
        "remark": scores.remark,
        "results": spreads_record(scores.spreads),
        "worst": [
            {
                "frame": scored.pair.frame,
                "time": scored.pair.time,
                **pair_record(scored.comparisons, thresholds=thresholds),
            }
            for scored in scores.worst
        ],
    }
