"""Find custom distortions: in a module, a file, or under an installed name."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from dps_infer.errors import UsageError
from dps_train.custom.custom_distortion import CustomDistortion
from dps_train.custom.function import StrengthDistortion
from dps_train.custom.read_recording import read_recording
from dps_train.data.crops import to_tensor
from dps_train.data.dead_leaves import dead_leaves
from dps_train.distortions.installed import installed_distortions, mentioned_words
from dps_train.distortions.paper import DISTORTIONS

MOST = 16
"""Largest number of distortions, the six included: each has layers of its own in the head."""


def find_custom(
    specs: Sequence[str], mentioned: str = "", *, with_installed: bool = False
) -> tuple[CustomDistortion, ...]:
    """Find custom distortions.

    Args:
        specs: each a module that Python can import, a file of Python code, a CSV file of images
            before and after (`dps_train.custom.read_recording`), or the name of an installed
            distortion.
        mentioned: a ranking or importances; installed distortions that it names are included.
        with_installed: whether to include all installed ones.

    Raises:
        UsageError: one cannot be found or imported, there is no distortion in it, it fails a
            trial, or two have one name.
        DataError: a CSV file has problems.
    """
    installed = installed_distortions()
    found = [custom for spec in specs for custom in _find(spec, installed)]
    known = {custom.name for custom in found}
    for word in installed if with_installed else mentioned_words(mentioned):
        if word in installed and word not in known:
            found += _loaded(installed[word])
            known.add(word)
    for name, count in Counter(custom.name for custom in found).items():
        if count > 1:
            raise UsageError(f"{count} distortions are called {name}: rename one")
    if len(DISTORTIONS) + len(found) > MOST:
        raise UsageError(
            f"{len(found)} custom distortions: expected at most {MOST - len(DISTORTIONS)}"
        )
    for custom in found:
        if custom.recording is None:
            _try(custom.distortion)
    return tuple(found)


def _find(spec: str, installed: dict[str, EntryPoint]) -> list[CustomDistortion]:
    path = Path(spec)
    if path.suffix.lower() == ".csv":
        return [read_recording(path)]
    if spec in installed:
        return _loaded(installed[spec])
    if path.suffix.lower() == ".py" or os.sep in spec:
        return _in_module(_from_file(path), spec)
    return _in_module(_imported(spec, installed), spec)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path}: expected Python code, or a CSV file of pairs")
    name = f"dps_own_{path.stem}"
    made = importlib.util.spec_from_file_location(name, path)
    if made is None or made.loader is None:
        raise UsageError(f"{path} is not Python code: expected a file that ends in .py")
    module = importlib.util.module_from_spec(made)
    # Dataclasses, among others, look up their module while it runs.
    sys.modules[name] = module
    try:
        made.loader.exec_module(module)
    # The user's code may raise anything; the message names it.
    except (Exception, SystemExit) as error:
        raise _not_run(str(path), error) from error
    return module


def _imported(name: str, installed: dict[str, EntryPoint]) -> ModuleType:
    # Like `python -m`, so that a module in the current folder is found.
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


def _loaded(point: EntryPoint) -> list[CustomDistortion]:
    try:
        loaded: Any = point.load()
    except (Exception, SystemExit) as error:
        raise _not_run(f"{point.name} ({point.value})", error) from error
    if isinstance(loaded, StrengthDistortion):
        return [CustomDistortion(loaded)]
    return _in_module(loaded, f"{point.name} ({point.value})")


def _in_module(module: Any, spec: str) -> list[CustomDistortion]:
    """Return the distortions in a module, each once, in the order of its lines."""
    values = {id(value): value for value in vars(module).values()}.values()
    found = [CustomDistortion(one) for one in values if isinstance(one, StrengthDistortion)]
    if not found:
        raise UsageError(
            f"{spec} has no distortion: decorate a function with @dps_train.custom.distortion"
        )
    return found


def _not_run(what: str, error: BaseException) -> UsageError:
    line = " ".join(str(error).split())
    return UsageError(f"{what} cannot be imported: {type(error).__name__}: {line}")


def _try(distortion: StrengthDistortion) -> None:
    """Refuse a distortion that changes nothing, or that is not reproducible."""
    image = to_tensor(dead_leaves(64, torch.Generator().manual_seed(0)))
    parameters = torch.tensor([[distortion.limit, 0.5]])
    first, second = (distortion.apply(image, parameters) for _ in range(2))
    if not torch.equal(first, second):
        raise UsageError(
            f"distortion {distortion.name} gives another image each time: draw random numbers "
            "from its third argument, rng"
        )
    if torch.equal(first, image):
        raise UsageError(
            f"distortion {distortion.name} changes nothing at strength {distortion.limit:g}: "
            "expected a change that grows with the strength"
        )
