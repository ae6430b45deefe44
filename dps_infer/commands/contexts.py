"""``dps-infer contexts`` and ``dps-train contexts``: saved contexts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dps_infer.commands.shared import options, run
from dps_infer.commands.shared.app import add, epilog, make_app
from dps_infer.commands.shared.examples import CONTEXTS
from dps_infer.errors import OutputError, UsageError

if TYPE_CHECKING:
    from dps_infer.contexts.context import Context
    from dps_infer.contexts.folders import Found

EXIT_CODES = "Exit codes: 0 done; 1 something broke; 2 wrong usage."

contexts = make_app(
    name="contexts",
    help="Save contexts under names for dps-infer --context-name, and list, show, compare and "
    "merge them.",
    epilog="They are TOML files. A name is searched in contexts/ of the current folder, then in "
    "your own folder (DPS_CONTEXTS, or contexts in the platform's folder for settings), then in "
    "the gallery of the package.\n\n" + epilog(CONTEXTS[""], EXIT_CODES),
    no_args_is_help=True,
)

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Name of the context.", autocompletion=options.complete_names
    ),
]
HereOption = Annotated[
    bool,
    typer.Option(
        "--here",
        help="Write to contexts/ of the current folder, for a project, instead of your own folder.",
    ),
]


def list_(as_json: options.JsonOption = False, debug: run.DebugOption = False) -> None:
    """List the saved contexts and where they are: project, user or gallery."""
    from dps_infer.contexts.folders import find_all
    from dps_infer.show.columns import align_columns

    found, problems = find_all()
    for problem in problems:
        run.note(problem)
    if as_json:
        run.print_json([_record(one) for one in found])
        return
    for text in filter(None, (one.note for one in found)):
        run.note(text)
    rows = [[str(one.context.name), one.place.value, one.context.describe()] for one in found]
    titles = ["name", "place", "least to most disruptive, or importances"]
    run.print_lines(align_columns([titles, *rows]))


def show(
    name: NameArgument, as_json: options.JsonOption = False, debug: run.DebugOption = False
) -> None:
    """Show a context: its reasons, its origin, its importances and its figures."""
    from dps_infer.contexts.folders import find
    from dps_infer.show.columns import align_columns

    found = find(name, note=run.note)
    if as_json:
        run.print_json(_record(found))
        return
    context = found.context
    importances = [[part, f"{value:.3g}"] for part, value in context.importances.items()]
    lines = [
        f"{context.name} ({found.place.value}: {found.path})",
        context.describe(),
        "",
        *context.why.splitlines(),
        "",
        f"from: {run.one_line(context.origin)}",
        "",
        *align_columns([["part", "importance"], *importances]),
    ]
    if context.figures:
        figures = [[figure, f"{value:g}"] for figure, value in context.figures.items()]
        lines += ["", *align_columns([["figure", ""], *figures])]
    run.print_lines(lines)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="Name of a context.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Name of another one.")],
    as_json: options.JsonOption = False,
    debug: run.DebugOption = False,
) -> None:
    """Show two contexts side by side, and how far they agree.

    The importances of each are scaled so that the largest is 1. Two distortions are ordered
    alike if the same one counts more in both contexts, or if they count the same in both.
    """
    from dps_infer.contexts import combine
    from dps_infer.contexts.folders import find
    from dps_infer.show.columns import align_columns

    found = [find(name, note=run.note) for name in (first, second)]
    agreement = combine.compare(*(one.context for one in found))
    share = agreement.alike / agreement.pairs
    if as_json:
        run.print_json(
            {
                "contexts": [
                    {**_record(one), "scaled": importances}
                    for one, importances in zip(found, agreement.importances, strict=True)
                ],
                "pairs": agreement.pairs,
                "alike": agreement.alike,
                "share": share,
            }
        )
        return
    one, two = agreement.importances
    rows = [[name, f"{one[name]:.3g}", f"{two[name]:.3g}"] for name in one]
    run.print_lines(
        [
            *align_columns([["importance", first, second], *rows], right=[1, 2]),
            f"ordered alike: {agreement.alike} of {agreement.pairs} pairs of distortions "
            f"({share:.0%})",
        ]
    )


def merge(
    first: Annotated[str, typer.Argument(metavar="A", help="Name of a context.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Name of another one.")],
    name: Annotated[
        str, typer.Option("--output", "-o", metavar="NAME", help="Name of the new context.")
    ],
    weight: Annotated[
        float,
        typer.Option(metavar="NUMBER", help="Weight of B, from 0 to 1; A has the rest."),
    ] = 0.5,
    why: Annotated[
        str | None, typer.Option(help="The reasons.  [default: those of A and of B]")
    ] = None,
    here: HereOption = False,
    force: options.ForceOption = False,
    debug: run.DebugOption = False,
) -> None:
    """Merge two contexts: the weighted geometric mean of their importances, scaled to at most 1.

    A distortion that counts 8 times as much in A and twice as much in B counts 4 times as much in
    an even merge. One that does not count in A or in B does not count in the merge.
    """
    from dps_infer.contexts.combine import merge as merge_contexts
    from dps_infer.contexts.folders import find
    from dps_infer.model.context_figures import embedded_figures

    found = [find(each, note=run.note) for each in (first, second)]
    one, two = (each.context for each in found)
    merged = merge_contexts(one, two, weight=weight, name=name, why=why)
    merged = replace(merged, figures=embedded_figures(merged))
    _write(merged, here, force, inputs=[each.path for each in found])


def save(
    name: NameArgument,
    why: Annotated[str, typer.Option(help="The reasons for this order, for other people.")],
    ranking: Annotated[
        str | None, typer.Option(help="Kinds of change from the least to the most disruptive.")
    ] = None,
    importance: Annotated[
        str | None, typer.Option(help="Instead of a ranking: color=0.1,blur=5,other=0.2.")
    ] = None,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            "--run", help="Instead of both, a run folder, for its context, figures and origin."
        ),
    ] = None,
    origin: Annotated[
        str | None, typer.Option("--from", help="The origin of the context, in words.")
    ] = None,
    here: HereOption = False,
    force: options.ForceOption = False,
    debug: run.DebugOption = False,
) -> None:
    """Save a context under a name.

    Its figures are those of the run, or else the 2AFC scores of the universal metric in this
    context.
    """
    if sum(value is not None for value in (ranking, importance, run_folder)) != 1:
        raise UsageError("say what to save: one of --ranking, --importance and --run")
    if run_folder is not None:
        if origin is not None:
            raise UsageError("--run has an origin of its own: leave out --from")
        from dps_infer.model.run_folder import read_manifest, run_context

        context = run_context(
            read_manifest(run_folder), run_folder.resolve().name, name=name, why=why
        )
        _write(context, here, force)
        return
    from dps_infer.contexts.context import choose_context
    from dps_infer.contexts.ranking import KINDS
    from dps_infer.contexts.saved import check_saved
    from dps_infer.model.context_figures import embedded_figures

    context = choose_context(KINDS, ranking=ranking, importances=importance)
    context = replace(
        context,
        name=name,
        why=why.strip(),
        origin="given by hand" if origin is None else origin.strip(),
        figures=embedded_figures(context),
    )
    _write(check_saved(context), here, force)


def delete(name: NameArgument, debug: run.DebugOption = False) -> None:
    """Delete a context of yours; the gallery cannot be deleted."""
    from dps_infer.contexts.folders import Place, locate

    (place, path), *others = locate(name)
    if place is Place.gallery:
        raise UsageError(
            f"{name} comes with the package and stays: save one of your own under this name to "
            "replace it"
        )
    try:
        path.unlink()
    except OSError as error:
        raise OutputError(f"cannot delete {path}: {error.strerror or error}") from None
    run.say(run.program_name(), f"deleted {path}")
    if others:
        run.note(f"{name} is now that of {others[0][1]}")


def _write(context: Context, here: bool, force: bool, inputs: Sequence[Path] = ()) -> None:
    from dps_infer.contexts.folders import PROJECT, locate, user_folder
    from dps_infer.contexts.saved import write_saved

    folder = PROJECT if here else user_folder()
    path = write_saved(context, folder, force=force, inputs=inputs)
    run.say(run.program_name(), f"written to {path}: {context.describe()}")
    (_, first), *others = locate(path.stem)
    if first.resolve() != path.resolve():
        run.note(f"{first} is found before it")
    elif others:
        run.note(f"it hides {others[0][1]}")


def _record(found: Found) -> dict[str, Any]:
    context = found.context
    return {
        "name": context.name,
        "place": found.place.value,
        "path": str(found.path),
        "why": context.why,
        "from": context.origin,
        "ranking": context.ranking,
        "importances": dict(context.importances),
        "figures": dict(context.figures),
        "hides": [str(path) for path in found.hides],
    }


COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_,
    "show": show,
    "compare": compare,
    "merge": merge,
    "save": save,
    "delete": delete,
}

for name, command in COMMANDS.items():
    add(contexts, command, name=name, examples=CONTEXTS[name], exit_codes=EXIT_CODES)
