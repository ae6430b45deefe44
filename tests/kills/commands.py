"""The commands that are killed, and what must be equal after they were resumed or repeated."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

RANKING = "color,translate,zoom,rotate,darken,blur"
_MAINS = {
    "dps-infer": "from dps_infer.__main__ import main; main()",
    "dps-train": "from dps_train.__main__ import main; main()",
    "dps-export": "from dps_export.__main__ import main; main()",
}
_LIMITED = (
    "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY));"
)
_TIMES = ("seconds",)
"""Columns that differ from run to run."""


@dataclass(frozen=True)
class Command:
    """A command that writes an output.

    Attributes:
        words: the program and its arguments; paths are relative to the folder of the inputs.
        output: the file or folder that it writes.
        resume: arguments of every run after the first one that was killed.
        continues: the output is there from the start, and a repeated command completes it.
        on_full_disk: it is also run on a disk that fills.
    """

    words: tuple[str, ...]
    output: str
    resume: tuple[str, ...] = ()
    continues: bool = False
    on_full_disk: bool = False

    def line(self, *, again: bool = False, limit: int | None = None) -> list[str]:
        """Return the command line; files cannot grow beyond a limit in bytes."""
        program, *arguments = self.words
        code = _MAINS[program]
        if limit is not None:
            code = _LIMITED.format(limit=limit) + code
        return [sys.executable, "-c", code, *arguments, *(self.resume if again else ())]


COMMANDS = {
    "batch": Command(
        (
            *("dps-infer", "batch", "pairs.csv", "-o", "out.csv", "--ranking", RANKING),
            *("--batch-size", "8"),
        ),
        "out.csv",
        resume=("--resume",),
        on_full_disk=True,
    ),
    "folder": Command(
        ("dps-infer", "folder", "ref", "cand", "-o", "out.jsonl", "--ranking", RANKING),
        "out.jsonl",
        on_full_disk=True,
    ),
    "video": Command(
        (
            *("dps-infer", "video", "a.avi", "b.avi", "-o", "out", "--ranking", RANKING),
            *("--no-plot", "--every", "3"),
        ),
        "out",
        on_full_disk=True,
    ),
    "report": Command(
        ("dps-infer", "report", "results.csv", "-o", "out.html", "--worst", "20"),
        "out.html",
        on_full_disk=True,
    ),
    "calibrate": Command(
        ("dps-infer", "calibrate", "pairs.csv", "-o", "out.json", "--ranking", RANKING),
        "out.json",
    ),
    "dps-export": Command(
        ("dps-export", "--ranking", RANKING, "-o", "out.onnx"), "out.onnx", on_full_disk=True
    ),
    "dps-train": Command(
        (
            *("dps-train", "--ranking", RANKING, "--data", "ref", "--out", "out"),
            *("--pairs", "400", "--epochs", "1", "--bank", "bank"),
        ),
        "out",
    ),
    "study": Command(
        (
            *("dps-train", "study", "--out", "out", "--rankings", "2", "--data", "ref"),
            *("--variants", "baseline,lin", "--pairs", "400", "--epochs", "1"),
        ),
        "out",
        continues=True,
    ),
}


def content(path: Path) -> dict[str, bytes]:
    """Return the content of a file or of all files of a folder, without what times differ in."""
    return {
        str(file.relative_to(path.parent)): _without_times(file, path) for file in files_of(path)
    }


def files_of(path: Path) -> list[Path]:
    """Return a file, or all files of a folder."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def _without_times(file: Path, output: Path) -> bytes:
    if file.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(file.read_text("utf-8")))
        return repr([{k: v for k, v in row.items() if k not in _TIMES} for row in rows]).encode()
    if file == output:
        return file.read_bytes()
    if file.suffix == ".json":
        values = json.loads(file.read_bytes())
        return repr({k: v for k, v in values.items() if k not in _TIMES}).encode()
    # The table and the page of a study: the same as its table in CSV, and times.
    return b"" if file.suffix in (".parquet", ".html") else file.read_bytes()
