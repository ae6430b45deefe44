"""The benchmarks by name, and how one runs: measure, print the tables, write the record.

A benchmark is a module in ``benchmarks/quality`` or ``benchmarks/speed`` that defines

* ``Figures``: a `msgspec.Struct`, the result;
* ``measure(...)``: its keyword parameters are the options; returns a `Measured`;
* ``tables(figures)``: the tables by name, "" for the only or main one;
* ``check(figures)``, where a result can be a failure: raises a `DpsError`. The record is written
  first.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import typer

from benchmarks.shared.record import Input, Record, Run, record_path, write_record
from benchmarks.shared.table import Table
from dps_infer.commands.shared.run import DebugOption, say
from dps_infer.files.write import check_output

NAME = "benchmarks"
FOLDER = Path(__file__).parents[1]
GROUPS = ("quality", "speed")

RecordOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write the record here instead of benchmarks/records/NAME.json."
    ),
]


@dataclass(frozen=True)
class Measured:
    """The result of a benchmark.

    Attributes:
        figures: of the module's type ``Figures``.
        inputs: files and images that were read, by the option that named them.
    """

    figures: Any
    inputs: Mapping[str, Input]


class Benchmark(Protocol):
    """A module that measures something; see above."""

    Figures: type
    measure: Callable[..., Measured]
    tables: Callable[[Any], Mapping[str, Table]]


@functools.cache
def modules() -> dict[str, str]:
    """Return the name of each benchmark's module, by the benchmark's own name."""
    return {
        path.stem: f"{NAME}.{group}.{path.stem}"
        for group in GROUPS
        for path in sorted((FOLDER / group).glob("[!_]*.py"))
    }


def load(name: str) -> Benchmark:
    """Import a benchmark."""
    return cast(Benchmark, importlib.import_module(modules()[name]))


def summaries(group: str) -> dict[str, str]:
    """Return one line about each benchmark of a group, without importing any of them.

    Importing takes seconds: most need PyTorch.
    """
    return {
        name: _first_line(FOLDER / group / f"{name}.py")
        for name, module in modules().items()
        if module.split(".")[1] == group
    }


def record_tables(record: Record) -> dict[str, Table]:
    """Return the tables of a record by the names that documents use, such as ``gpu.speed``.

    Raises:
        RecordError: the benchmark has changed its format since.
    """
    module = load(record.benchmark)
    tables = module.tables(record.read_figures(module.Figures))
    return {".".join(filter(None, (record.benchmark, name))): t for name, t in tables.items()}


def command(name: str) -> Callable[..., None]:
    """Return the function behind ``python -m benchmarks NAME``, with the benchmark's options."""
    module = load(name)
    signature = inspect.signature(module.measure, eval_str=True)
    defaults = {option: parameter.default for option, parameter in signature.parameters.items()}

    @functools.wraps(module.measure)
    def run(*, record: Path | None, debug: bool, **options: Any) -> None:
        path = record_path(name) if record is None else record
        check_output(path, force=True)
        facts = Run(name, options, defaults)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(facts.threads)
        measured = module.measure(**options)
        written = facts.record(measured.figures, measured.inputs)
        for table in module.tables(measured.figures).values():
            table.print()
        write_record(written, path)
        say(NAME, f"record written to {path}")
        if (check := getattr(module, "check", None)) is not None:
            check(measured.figures)

    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter("record", keyword, default=None, annotation=RecordOption),
        inspect.Parameter("debug", keyword, default=False, annotation=DebugOption),
    ]
    own = [parameter.replace(kind=keyword) for parameter in signature.parameters.values()]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own, *added], return_annotation=None
    )
    run.__doc__ = module.__doc__
    return run


def _first_line(path: Path) -> str:
    documentation = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert documentation, f"{path.name} needs a docstring: its first line is shown in the list"
    return documentation.splitlines()[0]
