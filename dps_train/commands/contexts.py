"""``dps-train contexts``: contexts that are kept under names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dps_infer.commands.shared.run import DebugOption, one_line, printable, say
from dps_infer.errors import OutputError, UsageError
from dps_train.commands.options import NAME, ForceOption

if TYPE_CHECKING:
    from dps_infer.contexts.folders import Found
    from dps_infer.contexts.saved import SavedContext

contexts = typer.Typer(
    name="contexts",
    help="Keep contexts under names, for dps-infer --context-name: list, show, compare and merge "
    "them.",
    epilog="They are TOML files, looked for in contexts/ of the current folder, then in your own "
    "folder (DPS_CONTEXTS, or contexts in the platform's folder for settings), then in the gallery "
    "of the package; the first of a name wins. Exit codes: 0 done, 1 something broke, 2 usage.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the context.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, with every digit, instead of words.")
]
HereOption = Annotated[
    bool,
    typer.Option(
        "--here",
        help="Write it to contexts/ of the current folder, where a project keeps it, instead of "
        "your own folder.",
    ),
]
DIGITS = 3


@contexts.command("list")
def list_(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the contexts that can be named, and whose they are: project, user or gallery."""
    from dps_infer.contexts.folders import find_all
    from dps_infer.show.columns import aligned

    found, problems = find_all()
    for problem in problems:
        say(NAME, f"note: {problem}")
    if as_json:
        _print_json([_record(one) for one in found])
        return
    for note in filter(None, (one.note for one in found)):
        say(NAME, f"note: {note}")
    rows = [[one.saved.name, one.place.value, _words(one.saved)] for one in found]
    for line in aligned([["name", "whose", "least to most disruptive, or importances"], *rows]):
        typer.echo(printable(line))


@contexts.command()
def show(name: NameArgument, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Show a context: its reasons, its importances, its figures, and where it came from."""
    from dps_infer.show.columns import aligned

    found = _find(name)
    if as_json:
        _print_json(_record(found))
        return
    saved = found.saved
    importances = saved.importances_of(saved.distortions)
    lines = [
        f"{saved.name} ({found.place.value}: {found.path})",
        _words(saved),
        "",
        *saved.why.splitlines(),
        "",
        f"from: {one_line(saved.origin)}",
        "",
        *aligned([["part", "importance"], *([k, _shown(v)] for k, v in importances.items())]),
    ]
    if saved.figures:
        lines += [
            "",
            *aligned([["figure", ""], *([k, f"{v:g}"] for k, v in saved.figures.items())]),
        ]
    for line in lines:
        typer.echo(printable(line))


@contexts.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="Name of a context.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Name of another one.")],
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Put two contexts side by side, and say how far they agree.

    The importances of each are scaled so that the largest is 1. Two distortions are ordered
    alike if the same one counts more in both contexts, or if they count the same in both.
    """
    from dps_infer.show.columns import aligned
    from dps_train import saved_contexts

    found = [_find(name) for name in (first, second)]
    sides = saved_contexts.compare(*(one.saved for one in found))
    share = sides.alike / sides.pairs
    if as_json:
        _print_json(
            {
                "contexts": [
                    {**_record(one), "scaled": importances}
                    for one, importances in zip(found, sides.importances, strict=True)
                ],
                "pairs": sides.pairs,
                "alike": sides.alike,
                "share": share,
            }
        )
        return
    one, two = sides.importances
    rows = [[name, _shown(one[name]), _shown(two[name])] for name in one]
    for line in aligned([["importance", first, second], *rows], right=[1, 2]):
        typer.echo(printable(line))
    typer.echo(f"ordered alike: {sides.alike} of {sides.pairs} pairs of distortions ({share:.0%})")


@contexts.command()
def merge(
    first: Annotated[str, typer.Argument(metavar="A", help="Name of a context.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Name of another one.")],
    name: Annotated[
        str, typer.Option("--output", "-o", metavar="NAME", help="Name of the new context.")
    ],
    weight: Annotated[
        float,
        typer.Option(metavar="NUMBER", help="Weight of B, from 0 to 1; the rest is that of A."),
    ] = 0.5,
    why: Annotated[
        str | None, typer.Option(help="The reasons.  [default: those of A and of B]")
    ] = None,
    here: HereOption = False,
    force: ForceOption = False,
    debug: DebugOption = False,
) -> None:
    """Merge two contexts: the weighted geometric mean of their importances, the largest made 1.

    What A counts 8 times as much and B twice as much, an even merge counts 4 times as much.
    What one of them does not count at all, the merge does not count either.
    """
    from dps_train import saved_contexts

    one, two = _find(first).saved, _find(second).saved
    _write(saved_contexts.merge(one, two, weight=weight, name=name, why=why), here, force)


@contexts.command()
def save(
    name: NameArgument,
    why: Annotated[str, typer.Option(help="The reasons: why this order? Whoever finds it asks.")],
    ranking: Annotated[
        str | None,
        typer.Option(help="Distortions from the least to the most disruptive, as dps-train takes."),
    ] = None,
    importance: Annotated[
        str | None, typer.Option(help="Instead of a ranking: color=0.1,blur=5,other=0.2.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Instead of both, a run folder: its context, its figures, its origin."),
    ] = None,
    origin: Annotated[
        str | None, typer.Option("--from", help="Where it came from, in words.")
    ] = None,
    here: HereOption = False,
    force: ForceOption = False,
    debug: DebugOption = False,
) -> None:
    """Save a context under a name.

    The figures are the run's own, or else the 2AFC scores of the universal metric in this
    context.
    """
    if sum(value is not None for value in (ranking, importance, run)) != 1:
        raise UsageError("say what to save: one of --ranking, --importance and --run")
    if run is not None:
        if origin is not None:
            raise UsageError("--run says itself where it came from: leave out --from")
        from dps_train.fit.run_folder import read_manifest
        from dps_train.saved_contexts import of_run

        _write(of_run(read_manifest(run), run.resolve().name, name=name, why=why), here, force)
        return
    from dps_infer.contexts.ranking import parse_importances, parse_ranking
    from dps_infer.contexts.saved import DISTORTIONS, SavedContext
    from dps_train.saved_contexts import package_figures

    groups = None if ranking is None else parse_ranking(ranking, DISTORTIONS)
    numbers = None if importance is None else parse_importances(importance, DISTORTIONS)
    saved = SavedContext(
        name=name,
        why=why,
        origin="given by hand" if origin is None else origin,
        ranking=groups,
        importances=numbers,
        figures=package_figures(groups or numbers or {}),
    )
    _write(saved, here, force)


@contexts.command()
def delete(name: NameArgument, debug: DebugOption = False) -> None:
    """Delete a context of yours; the gallery's stay."""
    from dps_infer.contexts.folders import Place, locate

    (place, path), *others = locate(name)
    if place is Place.gallery:
        raise UsageError(
            f"{name} comes with the package and stays: save one of your own under this name, and "
            "it is found instead"
        )
    try:
        path.unlink()
    except OSError as error:
        raise OutputError(f"cannot delete {path}: {error.strerror or error}") from None
    say(NAME, f"deleted {path}")
    if others:
        say(NAME, f"note: {name} is now that of {others[0][1]}")


def _find(name: str) -> Found:
    from dps_infer.contexts.folders import find

    found = find(name)
    if found.note is not None:
        say(NAME, f"note: {found.note}")
    return found


def _write(saved: SavedContext, here: bool, force: bool) -> None:
    from dps_infer.contexts.folders import PROJECT, locate, user_folder
    from dps_infer.contexts.saved import write_saved

    path = write_saved(saved, PROJECT if here else user_folder(), force=force)
    say(NAME, f"written to {path}: {_words(saved)}")
    (_, first), *others = locate(saved.name)
    if first.resolve() != path.resolve():
        say(NAME, f"note: {first} is found before it")
    elif others:
        say(NAME, f"note: it hides {others[0][1]}")


def _words(saved: SavedContext) -> str:
    from dps_infer.contexts.choice import Choice, describe

    return describe(Choice(saved.importances_of(saved.distortions), saved.ranking))


def _record(found: Found) -> dict[str, Any]:
    saved = found.saved
    return {
        "name": saved.name,
        "place": found.place.value,
        "path": str(found.path),
        "why": saved.why,
        "from": saved.origin,
        "ranking": saved.ranking,
        "importances": saved.importances_of(saved.distortions),
        "figures": dict(saved.figures),
        "hides": [str(path) for path in found.hides],
    }


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def _shown(importance: float) -> str:
    return f"{importance:.{DIGITS}g}"
