"""Open the contexts that a command, or a worker on another machine, is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dps_infer.commands.shared.run import say
from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device

if TYPE_CHECKING:
    from dps_infer.compare.metric import Context
    from dps_infer.contexts.folders import Found

NAME = "dps-infer"


def open_contexts(
    files: list[Path] | None,
    rankings: list[str] | None,
    importances: list[str] | None,
    names: list[str] | None = None,
    *,
    device: Device | str = Device.auto,
    threads: int | None = None,
) -> dict[str, Context]:
    """Open what ``--context``, ``--ranking``, ``--importance`` and ``--context-name`` ask for.

    Several context files are a context each. Several rankings, importances or names are as
    many contexts of one universal file, which is opened once.

    Args:
        files: context files; without any, the package's universal one.
        rankings: for a universal file.
        importances: for a universal file, instead of rankings.
        names: of saved contexts, for a universal file, instead of both.
        device: where to compute.
        threads: CPU threads.

    Returns:
        The contexts by their labels, in the order they were given. Labels are different:
        the second of a name is called name-2.

    Raises:
        UsageError: nothing says what matters, or two things say it at once.
        DpsError: see `Context.load`.
    """
    told = {"--ranking": rankings, "--importance": importances, "--context-name": names}
    given = [option for option, values in told.items() if values]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} say the same thing in {len(given)} ways: give one")
    if not (files or given):
        raise UsageError(
            "say what matters: --ranking color,translate,zoom,rotate,darken,blur (the least "
            "disruptive first), --importance color=0.1,blur=5, --context-name print-inspection, "
            "or --context FILE"
        )
    if files and len(files) > 1 and given:
        raise UsageError(
            f"{given[0]} tells one universal file what matters: "
            f"expected one --context beside it, got {len(files)}"
        )
    from dps_infer.compare.metric import Context
    from dps_infer.model import embedded

    opened: dict[str, Context] = {}
    if given:
        file = files[0] if files else embedded.UNIVERSAL
        found = _find(names or [])
        for note in filter(None, (one.note for one in found)):
            say(NAME, f"note: {note}")
        first = Context.load(
            file,
            ranking=rankings[0] if rankings else None,
            importances=importances[0] if importances else None,
            saved=found[0].saved if found else None,
            device=device,
            threads=threads,
        )
        contexts = [first]
        contexts += [first.with_ranking(other) for other in (rankings or [])[1:]]
        contexts += [first.with_importances(other) for other in (importances or [])[1:]]
        contexts += [first.with_saved(other.saved) for other in found[1:]]
    else:
        contexts = [Context.load(file, device=device, threads=threads) for file in files or []]
    for context in contexts:
        label, number = context.label, 1
        while label in opened:
            number += 1
            label = f"{context.label}-{number}"
        opened[label] = context
    return opened


def _find(names: list[str]) -> list[Found]:
    """Find saved contexts; what that takes is loaded only where there are names."""
    if not names:
        return []
    from dps_infer.contexts.folders import find

    return [find(name) for name in names]
