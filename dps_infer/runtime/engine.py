"""onnxruntime: importing it, choosing what it runs on, and how many threads it takes.

This is the one place that imports onnxruntime. `Engine` is all that the rest sees.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dps_infer.errors import ContextError, DeviceError, UsageError
from dps_infer.graph.protobuf import Model
from dps_infer.graph.prune import prune
from dps_infer.graph.split import split
from dps_infer.runtime import cuda
from dps_infer.runtime.device import Device
from dps_infer.runtime.reference_cache import Remembered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CPU = "CPUExecutionProvider"
CUDA = cuda.PROVIDER

_FATAL = 4
"""onnxruntime's log severity: everything below raises as well, with the same words."""

PATIENCE = 4
"""Runs of the whole model for a part of its outputs, after which a session for these pays off."""

SHARED = "reference"
"""The input that many runs may have in common (`Engine.run`)."""


@dataclass(frozen=True)
class Port:
    """An input or output of a model.

    Attributes:
        name: its name.
        type: its element type: "uint8", "float" (32 bits) and so on.
        shape: a number where a dimension is fixed, else None.
    """

    name: str
    type: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        """Say it for a message: ``distance float [?]``."""
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.type} [{sizes}]"


class Engine:
    """A model on one execution provider. `run` may be called from several threads.

    Attributes:
        provider: the execution provider in use, by onnxruntime's name.
        threads: CPU threads that one operator may use.
        remark: why the CPU is used though CUDA was within reach, or None.
        feeding: how images get to CUDA; None on the CPU, where they are already.
    """

    def __init__(
        self,
        provider: str,
        threads: int,
        remark: str | None,
        model: bytes,
        opener: Callable[[bytes], Any],
        session: Any = None,
    ) -> None:
        """Take what `open_engine` has found out.

        Args:
            provider: the execution provider in use.
            threads: CPU threads.
            remark: why the CPU is used though CUDA was within reach, or None.
            model: serialised.
            opener: opens an onnxruntime session of a model.
            session: of the whole model, if it is open already.
        """
        self.provider = provider
        self.threads = threads
        self.remark = remark
        self.feeding = cuda.ON_CUDA if provider == CUDA else None
        self._model = Model(model)
        self._opener = opener
        self._whole = session
        self._partial: dict[tuple[str, ...], Any] = {}
        self._halves: dict[tuple[str, ...], _Halves | None] = {}
        self._asked: Counter[tuple[str, ...]] = Counter()
        self._last: dict[int, object] = {}
        self._options, self._freeing = (_import_onnxruntime().RunOptions() for _ in range(2))
        for options in (self._options, self._freeing):
            options.log_severity_level = _FATAL
        self._freeing.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    @property
    def inputs(self) -> dict[str, Port]:
        """The model's inputs by name."""
        return _ports(self._session().get_inputs())

    @cached_property
    def outputs(self) -> dict[str, Port]:
        """The model's outputs by name."""
        return _ports(self._session().get_outputs())

    def run(
        self,
        fetches: Sequence[str],
        feeds: Mapping[str, NDArray[Any]],
        *,
        alone: bool = False,
        remembered: Remembered | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Compute the named outputs.

        Args:
            fetches: their names.
            feeds: the inputs by name.
            alone: compute nothing else, whatever it takes: the first time that is a session
                more, some hundredths of a second, if one for the whole model is open. Without,
                that is done once the same outputs have been asked for `PATIENCE` times.
            remembered: what runs before this one computed of the same `SHARED` input. What is
                missing is added; so it is computed once. On CUDA it is left as it is: there it
                would have to be brought for every run.

        Raises:
            ContextError: onnxruntime failed.
        """
        key = tuple(fetches)
        if remembered is not None and self.feeding is None:
            halves = self._halves_of(key)
            if halves is not None:
                return self._compute_rest(halves, key, feeds, remembered)
        return self._compute(self._session_of(key, alone=alone), key, feeds)

    def _session_of(self, key: tuple[str, ...], *, alone: bool) -> Any:
        """Return the session to compute some outputs with."""
        self._asked[key] += 1
        if self._whole is not None and not alone and self._asked[key] <= PATIENCE:
            return self._whole
        if key not in self._partial:
            self._partial[key] = self._opener(prune(self._model, key).data)
        return self._partial[key]

    def _halves_of(self, key: tuple[str, ...]) -> _Halves | None:
        """Return the sessions to compute some outputs with, in two; None where that cannot be."""
        if key not in self._halves:
            halves, parts = None, split(prune(self._model, key), SHARED)
            if parts is not None:
                first, rest = self._opener(parts.first.data), self._opener(parts.rest.data)
                halves = _Halves(first, parts.between, rest, parts.again)
            self._halves[key] = halves
        return self._halves[key]

    def _compute_rest(
        self,
        halves: _Halves,
        key: tuple[str, ...],
        feeds: Mapping[str, NDArray[Any]],
        remembered: Remembered,
    ) -> dict[str, NDArray[Any]]:
        """Compute what does not follow from the `SHARED` input alone, and that if it is missing."""
        place = (id(self), key)
        if place not in remembered.values:
            reference = {SHARED: feeds[SHARED]}
            remembered.values[place] = self._compute(halves.first, halves.between, reference)
        others = {name: feed for name, feed in feeds.items() if name != SHARED or halves.again}
        return self._compute(halves.rest, key, {**others, **remembered.values[place]})

    def _compute(
        self, session: Any, fetches: tuple[str, ...], feeds: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        # Memory that a session keeps between runs makes them a third faster. Kept for every shape
        # that comes by, it would grow and grow: with another one, what is free is given back.
        shapes = (fetches, *(feed.shape for feed in feeds.values()))
        options = self._options if shapes == self._last.get(id(session)) else self._freeing
        self._last[id(session)] = shapes
        try:
            if self.feeding is None:
                values = session.run(list(fetches), dict(feeds), options)
            else:
                values = cuda.run(session, fetches, feeds, options, self.feeding)
        # onnxruntime's exceptions have no common base of their own.
        except Exception as error:
            given = ", ".join(f"{name} {list(feed.shape)}" for name, feed in feeds.items())
            raise ContextError(
                f"could not be run by onnxruntime on {given}: {_first_line(error)}"
            ) from error
        return dict(zip(fetches, values, strict=True))

    def _session(self) -> Any:
        """Open the whole model, unless that was done."""
        if self._whole is None:
            self._whole = self._opener(self._model.data)
        return self._whole


@dataclass(frozen=True)
class _Halves:
    """Sessions of a model in two (`dps_infer.graph.split.Split`)."""

    first: Any
    between: tuple[str, ...]
    rest: Any
    again: bool


def open_engine(
    model: bytes, *, device: Device = Device.auto, threads: int | None = None
) -> Engine:
    """Load a serialised ONNX model.

    Args:
        model: the file's bytes, already checked by `dps_infer.graph.safety`.
        device: where to compute.
        threads: CPU threads; None takes what this process may use (`available_threads`).

    Raises:
        DeviceError: onnxruntime is not installed, or CUDA was asked for and is not there.
        ContextError: onnxruntime cannot load the model; on the CPU that shows on first use.
        UsageError: `threads` is below 1.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"expected at least 1 thread, got {threads}")
    count = threads or available_threads()
    onnxruntime = _import_onnxruntime()
    onnxruntime.set_default_logger_severity(_FATAL)
    offered = onnxruntime.get_available_providers()
    if device is Device.cuda and CUDA not in offered:
        raise DeviceError(
            "CUDA was asked for, but this onnxruntime offers only "
            f"{', '.join(offered)}: {cuda.HELP}"
        )

    def opened(part: bytes, *, on_cuda: bool) -> Any:
        return _open(onnxruntime, part, count, on_cuda=on_cuda)

    def engine(provider: str, remark: str | None, session: Any = None) -> Engine:
        opener = partial(opened, on_cuda=provider == CUDA)
        return Engine(provider, count, remark, model, opener, session)

    if device is Device.cpu or CUDA not in offered:
        return engine(CPU, None)
    try:
        session = opened(model, on_cuda=True)
        failure = "onnxruntime did not take it" if _provider(session) != CUDA else None
    # A model that does not load at all gets a second chance, and its own error, on the CPU.
    except ContextError as error:
        session, failure = None, str(error)
    if failure is None:
        return engine(CUDA, None, session)
    if device is Device.cuda:
        raise DeviceError(f"CUDA was asked for and does not load ({failure}): {cuda.HELP}")
    if session is None:
        session = opened(model, on_cuda=False)
    return engine(CPU, f"CUDA is offered but does not load ({failure})", session)


def probe_providers(model: bytes) -> dict[str, str | None]:
    """Create a session of a model on each provider that onnxruntime offers.

    Offering says little: a provider whose libraries are missing is replaced silently.

    Args:
        model: the file's bytes, already checked by `dps_infer.graph.safety`.

    Returns:
        By onnxruntime's name for a provider, why it does not load; None if it does.

    Raises:
        DeviceError: onnxruntime is not installed, or broken.
    """
    onnxruntime = _import_onnxruntime()
    onnxruntime.set_default_logger_severity(_FATAL)
    reasons: dict[str, str | None] = {}
    for name in onnxruntime.get_available_providers():
        try:
            if name in (CPU, CUDA):
                session = _open(onnxruntime, model, 1, on_cuda=name == CUDA)
            else:
                session = onnxruntime.InferenceSession(
                    model, providers=[name, CPU], enable_fallback=0
                )
            loaded = _provider(session) == name
            reasons[name] = None if loaded else f"replaced by {_provider(session)}"
        # onnxruntime's exceptions have no common base of their own.
        except Exception as error:
            reasons[name] = _first_line(error)
    return reasons


def available_threads() -> int:
    """Return how many CPU threads this process may use: its affinity, capped by its cgroups."""
    cores, quota = affinity_cores(), cgroup_cores()
    # A quota of 1.5 cores is best used by two threads, of 0.5 by one.
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def affinity_cores() -> int:
    """Return how many cores this process may be scheduled on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def cgroup_cores(
    membership: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """Return the CPU quota of this process's cgroup and its ancestors, in cores.

    Args:
        membership: the kernel's list of this process's cgroups, version 1 and 2.
        mount: where the cgroup file systems are mounted.

    Returns:
        The smallest quota found, or None where there is none.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    quotas: list[float] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, inside = rest.partition(":")
        if controllers == "":
            roots = [mount, mount / "unified"]
        elif "cpu" in controllers.split(","):
            roots = [mount / "cpu", mount / controllers]
        else:
            continue
        # In a container the path may be the host's, with only its end (or the root) mounted.
        relative = Path(inside.lstrip("/"))
        for root in roots:
            for folder in (relative, *relative.parents):
                quota = _quota(root / folder)
                if quota is not None:
                    quotas.append(quota)
    return min(quotas, default=None)


def _open(onnxruntime: Any, model: bytes, threads: int, *, on_cuda: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # Shapes vary from pair to pair. See also `Engine.run`.
    options.enable_mem_pattern = False
    # Without this, other bytes than those that were checked could count.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    providers: list[Any] = [CPU]
    # onnxruntime prints some of what goes wrong on stdout, where only results belong.
    with contextlib.redirect_stdout(io.StringIO()):
        if on_cuda:
            providers.insert(0, cuda.provider(onnxruntime))
        try:
            return onnxruntime.InferenceSession(
                model, sess_options=options, providers=providers, enable_fallback=0
            )
        except Exception as error:
            raise ContextError(f"cannot be loaded by onnxruntime: {_first_line(error)}") from error


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise DeviceError(f"onnxruntime is broken ({error}): install it again") from error
        raise DeviceError(_NOT_INSTALLED) from None
    except Exception as error:
        raise DeviceError(
            f"onnxruntime is installed but does not load ({_first_line(error)}): install it again"
        ) from error
    # What two uninstalled wheels leave behind is a folder that imports as an empty package.
    if not hasattr(onnxruntime, "InferenceSession"):
        raise DeviceError(_NOT_INSTALLED)
    return onnxruntime


_NOT_INSTALLED = (
    'onnxruntime is not installed: run pip install "dps-toolkit[cpu]", or '
    'pip install "dps-toolkit[gpu]" for an NVIDIA GPU'
)


def _ports(nodes: Any) -> dict[str, Port]:
    return {
        node.name: Port(
            node.name,
            node.type.removeprefix("tensor(").removesuffix(")"),
            # onnxruntime gives a symbolic dimension by its name.
            tuple(size if isinstance(size, int) else None for size in node.shape or ()),
        )
        for node in nodes
    }


def _provider(session: Any) -> str:
    return str(session.get_providers()[0])


def _quota(folder: Path) -> float | None:
    """Read one cgroup's quota in cores, of either version; None for none."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        # "max", the way to say that there is none.
        return None
    return cores if cores > 0 else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
