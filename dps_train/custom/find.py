"""Find distortions of the user's own by what was said: a module, a file, or an installed name."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from dps_infer.errors import UsageError
from dps_train.custom.function import OwnDistortion
from dps_train.custom.recorded import Recorded, read_recorded
from dps_train.data.dead_leaves import dead_leaves
from dps_train.data.sources import Image
from dps_train.distortions.paper import DISTORTIONS, Distortion

GROUP = "dps_train.distortions"
"""The entry point group: ``[project.entry-points."dps_train.distortions"]`` in a package's
pyproject.toml, with ``jpeg = "my_package.my_module:jpeg"``."""

MOST = 16
"""Distortions in all; the head reads each with layers of its own."""


@dataclass(frozen=True)
class Own:
    """A distortion of the user's own.

    Attributes:
        about: what it is called and measured by.
        recorded: the images that show it; None where a function applies it.
    """

    about: OwnDistortion
    recorded: Recorded | None = None


def find_own(
    specs: Sequence[str], mentioned: str = "", *, with_installed: bool = False
) -> tuple[Own, ...]:
    """Find distortions.

    Args:
        specs: each a module that Python can import, a file of Python code, a CSV file of images
            before and after (`dps_train.custom.recorded`), or the name of an installed distortion.
        mentioned: a ranking or importances: what they name is looked for among the installed
            ones as well.
        with_installed: whether all installed ones are wanted.

    Raises:
        UsageError: one cannot be found or imported, holds no distortion, does not do what a
            distortion must, or two have one name.
        DataError: a CSV file has problems.
    """
    installed = {point.name: point for point in entry_points(group=GROUP)}
    found = [own for spec in specs for own in _find(spec, installed)]
    known = {own.about.name for own in found}
    words = re.findall(r"[a-z][a-z0-9_-]*", mentioned.lower())
    for word in installed if with_installed else words:
        if word in installed and word not in known:
            found += _loaded(installed[word])
            known.add(word)
    names = [own.about.name for own in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{names.count(name)} distortions are called {name}: rename one")
    if len(DISTORTIONS) + len(found) > MOST:
        raise UsageError(f"{len(found)} distortions of your own: expected at most {MOST - 6}")
    for own in found:
        if own.recorded is None:
            _try(own.about)
    return tuple(found)


def all_distortions(own: Sequence[Own]) -> tuple[Distortion, ...]:
    """Return the six, then those of the user's own."""
    return (*DISTORTIONS, *(one.about for one in own))


def _find(spec: str, installed: dict[str, EntryPoint]) -> list[Own]:
    path = Path(spec)
    if path.suffix.lower() == ".csv":
        recorded = read_recorded(path)
        return [Own(recorded.about, recorded)]
    if spec in installed:
        return _loaded(installed[spec])
    if path.suffix.lower() == ".py" or os.sep in spec:
        return _of(_from_file(path), spec)
    return _of(_imported(spec, installed), spec)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path}: expected Python code, or a CSV file of pairs")
    name = f"dps_own_{path.stem}"
    made = importlib.util.spec_from_file_location(name, path)
    if made is None or made.loader is None:
        raise UsageError(f"{path} is no Python code: expected a file that ends in .py")
    module = importlib.util.module_from_spec(made)
    # Dataclasses and the like look their module up while it is being run.
    sys.modules[name] = module
    try:
        made.loader.exec_module(module)
    # Whatever the user's code raises: it is no fault of ours, and they need to see which.
    except (Exception, SystemExit) as error:
        raise _not_run(str(path), error) from error
    return module


def _imported(name: str, installed: dict[str, EntryPoint]) -> ModuleType:
    # As `python -m` does, so that a module in the current folder is found.
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _not_run(name, error) from error
        names = f" (installed: {', '.join(installed)})" if installed else ""
        raise UsageError(
            f"--distortions {name}: there is no module, file or installed distortion of this "
            f"name{names}"
        ) from None
    except (Exception, SystemExit) as error:
        raise _not_run(name, error) from error


def _loaded(point: EntryPoint) -> list[Own]:
    try:
        loaded: Any = point.load()
    except (Exception, SystemExit) as error:
        raise _not_run(f"{point.name} ({point.value})", error) from error
    if isinstance(loaded, OwnDistortion):
        return [Own(loaded)]
    return _of(loaded, f"{point.name} ({point.value})")


def _of(module: Any, spec: str) -> list[Own]:
    """Return the distortions that a module holds, each once, in the order of its lines."""
    values = {id(value): value for value in vars(module).values()}.values()
    found = [Own(value) for value in values if isinstance(value, OwnDistortion)]
    if not found:
        raise UsageError(
            f"{spec} holds no distortion: decorate a function with @dps_train.custom.distortion"
        )
    return found


def _not_run(what: str, error: BaseException) -> UsageError:
    line = " ".join(str(error).split())
    return UsageError(f"{what} cannot be imported: {type(error).__name__}: {line}")


def _try(distortion: OwnDistortion) -> None:
    """Refuse a distortion that changes nothing, or not the same twice."""
    image = torch.from_numpy(_trial_image()).permute(2, 0, 1)[None].float() / 255
    parameters = torch.tensor([[distortion.limit, 0.5]])
    first, second = (distortion.apply(image, parameters) for _ in range(2))
    if not torch.equal(first, second):
        raise UsageError(
            f"distortion {distortion.name} gives another image each time: take what is random "
            "from its third argument, rng"
        )
    if torch.equal(first, image):
        raise UsageError(
            f"distortion {distortion.name} changes nothing at strength {distortion.limit:g}: "
            "expected more of a change, the stronger"
        )


def _trial_image() -> Image:
    return np.ascontiguousarray(dead_leaves(64, torch.Generator().manual_seed(0)))
