"""The JSON record of a benchmark run: its figures, and everything needed to interpret them."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from dps_infer.errors import DpsError
from dps_infer.files.write import atomic_file, sha256_file
from dps_infer.runtime.threads import available_threads
from dps_train.versions import installed_versions

if TYPE_CHECKING:
    # PyTorch comes with it: `throughput` measures the memory of a process without.
    from dps_train.data.sources import Images

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "benchmarks" / "records"

FORMAT = 1

PACKAGES = (
    "dps-toolkit",
    "torch",
    "torchvision",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "playwright",
    "numpy",
    "opencv-python-headless",
    "simplejpeg",
    "scikit-image",
    "pillow",
    "lpips",
)
"""Packages whose versions can change a figure."""

NOT_CODE = (":(exclude)benchmarks/records", ":(exclude)*.md")
"""Files that a run of several benchmarks rewrites, and that change no figure."""

COMMIT_VARIABLE = "BENCHMARK_COMMIT"
"""Environment variable that names the commit of an exported tree, which has no history."""

FigureType = TypeVar("FigureType")


class RecordError(DpsError):
    """A record that cannot be read, or that this version of its benchmark did not write."""


class Machine(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The machine, without anything that identifies one machine among equals."""

    processor: str
    """Model name."""
    cores: int
    """Cores that this process could use."""
    threads: int
    """CPU threads that the benchmark computed on."""
    system: str
    python: str


class Input(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A file or a set of images that the benchmark read."""

    name: str
    """As `shown` prints it."""
    sha256: str
    """Hash of the file's bytes; for images, of their decoded pixels in order."""
    images: int | None = None
    """Number of images; None for a file."""


class Record(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One run of a benchmark."""

    format: int = FORMAT
    benchmark: str
    date: str
    """Start of the run, UTC, ISO 8601."""
    commit: str | None
    """Git commit of the code; outside a checkout that of `COMMIT_VARIABLE`, or None."""
    clean: bool | None
    """Whether the code was that of the commit, without changes; None outside a checkout."""
    command: str
    seed: int | None
    """Seed of everything random; None where nothing is random."""
    options: dict[str, str | int | float | bool | list[str | int] | None]
    """Every option, defaults included; absolute paths are cut to their last name."""
    seconds: float
    machine: Machine
    versions: dict[str, str]
    inputs: dict[str, Input]
    """By the option that named them."""
    figures: msgspec.Raw
    """The result, in the benchmark's own format."""

    def read_figures(self, kind: type[FigureType]) -> FigureType:
        """Return the figures as the benchmark's own type.

        Raises:
            RecordError: they have another format.
        """
        try:
            return msgspec.json.decode(self.figures, type=kind)
        except msgspec.ValidationError as error:
            raise RecordError(
                f"the record of {self.benchmark} has another format ({error}): "
                f"run python -m benchmarks {self.benchmark} again"
            ) from None


class Run:
    """Collects the facts about a run that the benchmark cannot know: time, commit and machine.

    Args:
        benchmark: name of the benchmark.
        options: its options, by parameter name.
        defaults: the value of each option that was not given.

    Attributes:
        threads: CPU threads to compute on: the option, or all where that is None; else 1.
    """

    def __init__(
        self, benchmark: str, options: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> None:
        self._benchmark = benchmark
        self._options = {name: _plain(value) for name, value in options.items()}
        given = {name: self._options[name] for name in options if options[name] != defaults[name]}
        self._command = _command(benchmark, given)
        threads = options.get("threads", 1)
        self.threads: int = available_threads() if threads is None else threads
        self._started = datetime.now(timezone.utc)
        # Taken at the start: an edit during a long run does not change the code that runs.
        self._commit, self._clean = _commit()

    def record(self, figures: object, inputs: Mapping[str, Input]) -> Record:
        """Return the record of the finished run."""
        seed = self._options.get("seed")
        return Record(
            benchmark=self._benchmark,
            date=self._started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            commit=self._commit,
            clean=self._clean,
            command=self._command,
            seed=seed if isinstance(seed, int) else None,
            options=self._options,
            seconds=round((datetime.now(timezone.utc) - self._started).total_seconds(), 1),
            machine=_machine(self.threads),
            versions=installed_versions(PACKAGES),
            inputs=dict(inputs),
            figures=msgspec.Raw(msgspec.json.encode(figures)),
        )


def record_path(name: str, folder: Path = RECORDS) -> Path:
    """Return the path of a benchmark's record."""
    return folder / f"{name}.json"


def write_record(record: Record, path: Path) -> None:
    """Write a record, replacing an older one.

    Raises:
        OutputError: it cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(record), indent=1)
    with atomic_file(path, force=True) as temporary:
        temporary.write_bytes(text + b"\n")


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: the file is no record of this format.
    """
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError) as error:
        raise RecordError(f"{path.name} is no record of a benchmark: {error}") from None
    if record.format != FORMAT:
        raise RecordError(f"{path.name} has format {record.format}: expected {FORMAT}")
    return record


def image_input(images: Images, source: str) -> Input:
    """Describe images that were loaded from a source such as ``sample`` or a folder."""
    return Input(name=shown(source), sha256=images.sha256(), images=len(images.images))


def file_input(path: Path) -> Input:
    """Describe a file."""
    return Input(name=shown(path), sha256=sha256_file(path))


def shown(path: str | Path) -> str:
    """Return a path for the record: as given, or the last name of an absolute one.

    A record is published. An absolute path would name folders of one machine.
    """
    given = Path(path)
    return given.name if given.is_absolute() or ".." in given.parts else given.as_posix()


def _plain(value: Any) -> Any:
    """Return an option's value for JSON."""
    if isinstance(value, Path):
        return shown(value)
    if isinstance(value, str):
        return shown(value) if os.sep in value else value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _command(benchmark: str, options: Mapping[str, Any]) -> str:
    """Return the command line that sets these options."""
    words = ["python", "-m", "benchmarks", benchmark]
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", str(one)]
    return shlex.join(words)


def _machine(threads: int) -> Machine:
    return Machine(
        processor=_processor(),
        cores=available_threads(),
        threads=threads,
        # Not the release: that can name the machine's operator.
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def _processor() -> str:
    """Return the processor's model name where the system says it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine()


def _commit() -> tuple[str | None, bool | None]:
    """Return the commit of the code, and whether the checkout's code is unchanged."""
    commit = _output("git", "rev-parse", "HEAD")
    if not commit:
        return os.environ.get(COMMIT_VARIABLE), None
    return commit, _output("git", "status", "--porcelain", "--", ".", *NOT_CODE) == ""


def _output(*command: str) -> str | None:
    """Return the standard output of a command; None if it fails or does not exist."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
