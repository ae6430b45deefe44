"""onnxruntime: sessions, execution providers, and runs.

No other file imports onnxruntime; the rest of the package sees `Engine`.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from dps_infer.errors import ContextError, DeviceError, UsageError
from dps_infer.extras import install
from dps_infer.graph.model import NODE, Model
from dps_infer.runtime.device import CPU, CUDA, Device
from dps_infer.runtime.forks import Gate
from dps_infer.runtime.threads import available_threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dps_infer.runtime.bands import BandedRun
    from dps_infer.runtime.cuda import Feeding
    from dps_infer.runtime.reference_cache import ReferenceFeatures

_FATAL = 4
"""onnxruntime's log severity: errors below it are raised as exceptions anyway."""

PATIENCE = 4
"""Runs of the whole model for a part of its outputs after which a session of its own pays off."""

MANY_NODES = 1000
"""Nodes from which on a graph runs as it is stored, on the CPU. onnxruntime would take half a
second to optimize the embedded file's 2,900 small nodes, which then run no faster."""

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
        """Return the port for a message: ``distance float [?]``."""
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.type} [{sizes}]"


class Engine:
    """A model on one execution provider. `run` may be called from several threads.

    Attributes:
        provider: the execution provider in use, by onnxruntime's name.
        threads: CPU threads that one operator may use.
        remark: why the CPU is used although CUDA is offered, or None.
        feeding: how inputs and outputs are bound on CUDA; None on the CPU.
    """

    def __init__(
        self,
        provider: str,
        threads: int,
        remark: str | None,
        model: Model,
        opener: Callable[[bytes], Any],
        session: Any = None,
    ) -> None:
        """Store the arguments; `open_engine` chooses them.

        Args:
            provider: the execution provider in use.
            threads: CPU threads.
            remark: why the CPU is used although CUDA is offered, or None.
            model: the model.
            opener: opens an onnxruntime session of a serialized model.
            session: a session of the whole model, if one is open already.
        """
        self.provider = provider
        self.threads = threads
        self.remark = remark
        self.feeding: Feeding | None = None
        if provider == CUDA:
            from dps_infer.runtime.cuda import ON_CUDA

            self.feeding = ON_CUDA
        self._model = model
        self._opener = opener
        self._is_of_parent = False
        self._start(session)
        _ENGINES.add(self)
        self._options, self._freeing = (_import_onnxruntime().RunOptions() for _ in range(2))
        for options in (self._options, self._freeing):
            options.log_severity_level = _FATAL
        self._freeing.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def _start(self, session: Any = None) -> None:
        self._whole = session
        self._partial: dict[tuple[str, ...], Any] = {}
        self._halves: dict[tuple[str, ...], _Halves | None] = {}
        self._banded: dict[tuple[str, ...], BandedRun | None] = {}
        self._asked: Counter[tuple[str, ...]] = Counter()
        self._last: dict[int, object] = {}

    def forget_parent(self) -> None:
        """Leave the sessions of the process that this one was forked from; new ones are opened.

        A fork has none of the threads of a session: running or closing it would wait for ever.
        """
        _OF_PARENT.append((self._whole, self._partial, self._halves, self._banded))
        self._start()
        self._is_of_parent = True

    def _check_process(self) -> None:
        if self._is_of_parent and self.provider == CUDA:
            raise DeviceError(
                "a metric on CUDA was loaded before this process was forked: load it in this "
                'process, or start processes with the method "spawn"'
            )

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
        cached: ReferenceFeatures | None = None,
        band_pixels: int | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Compute the named outputs.

        Args:
            fetches: their names.
            feeds: the inputs by name.
            alone: compute only these outputs. The first time opens another session, some
                hundredths of a second, if one of the whole model is open. Otherwise that
                happens once the same outputs have been asked for `PATIENCE` times.
            cached: features that earlier runs computed from the same `SHARED` input; missing
                ones are added. Ignored on CUDA, where they would be copied for every run.
            band_pixels: compute images in bands of so many pixels (`dps_infer.runtime.bands`), if
                the model can be cut for it; None computes them whole. Ignored on CUDA.

        Raises:
            ContextError: onnxruntime failed.
        """
        self._check_process()
        key = tuple(fetches)
        if band_pixels is not None and self.feeding is None:
            banded = self._banded_of(key)
            if banded is not None:
                return banded.run(feeds, band_pixels)
        if cached is not None and self.feeding is None:
            halves = self._halves_of(key)
            if halves is not None:
                return self._compute_rest(halves, key, feeds, cached)
        return self._compute(self._session_of(key, alone=alone), key, feeds)

    def _session_of(self, key: tuple[str, ...], *, alone: bool) -> Any:
        """Return the session to compute some outputs with."""
        self._asked[key] += 1
        if self._whole is not None and not alone and self._asked[key] <= PATIENCE:
            return self._whole
        if key not in self._partial:
            self._partial[key] = self._opener(self._model.pruned(key).data)
        return self._partial[key]

    def _halves_of(self, key: tuple[str, ...]) -> _Halves | None:
        """Return the sessions of the model split at `SHARED`; None if it cannot be split."""
        if key not in self._halves:
            from dps_infer.graph.split import split

            halves, parts = None, split(self._model.pruned(key), SHARED)
            if parts is not None:
                first, rest = self._opener(parts.first.data), self._opener(parts.rest.data)
                halves = _Halves(first, parts.between, rest, parts.again)
            self._halves[key] = halves
        return self._halves[key]

    def _banded_of(self, key: tuple[str, ...]) -> BandedRun | None:
        """Return the parts of the model that compute large images; None if it cannot be cut."""
        if key not in self._banded:
            from dps_infer.runtime.bands import open_banded

            self._banded[key] = open_banded(self._model, key, self._opener, self._compute_band)
        return self._banded[key]

    def _compute_rest(
        self,
        halves: _Halves,
        key: tuple[str, ...],
        feeds: Mapping[str, NDArray[Any]],
        cached: ReferenceFeatures,
    ) -> dict[str, NDArray[Any]]:
        """Compute the outputs from the cached features of `SHARED`, computing missing features."""
        place = (id(self), key)
        if place not in cached.values:
            reference = {SHARED: feeds[SHARED]}
            cached.values[place] = self._compute(halves.first, halves.between, reference)
        others = {name: feed for name, feed in feeds.items() if name != SHARED or halves.again}
        return self._compute(halves.rest, key, {**others, **cached.values[place]})

    def _compute(
        self, session: Any, fetches: tuple[str, ...], feeds: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        # Memory that a session keeps between runs makes them a third faster. Kept for every new
        # shape, it would grow without bound: when the shapes change, free memory is released.
        shapes = (fetches, *(feed.shape for feed in feeds.values()))
        options = self._options if shapes == self._last.get(id(session)) else self._freeing
        self._last[id(session)] = shapes
        return self._compute_with(options, session, fetches, feeds)

    def _compute_band(
        self,
        session: Any,
        fetches: tuple[str, ...],
        feeds: Mapping[str, NDArray[Any]],
        keep: bool,
    ) -> dict[str, NDArray[Any]]:
        """Compute outputs of a band; the sizes of bands differ little, so memory can be kept."""
        return self._compute_with(self._options if keep else self._freeing, session, fetches, feeds)

    def _compute_with(
        self,
        options: Any,
        session: Any,
        fetches: tuple[str, ...],
        feeds: Mapping[str, NDArray[Any]],
    ) -> dict[str, NDArray[Any]]:
        try:
            with _GATE.entered():
                if self.feeding is None:
                    values = session.run(list(fetches), dict(feeds), options)
                else:
                    from dps_infer.runtime import cuda

                    values = cuda.run(session, fetches, feeds, options, self.feeding)
        # onnxruntime's exceptions have no common base of their own.
        except Exception as error:
            given = ", ".join(f"{name} {list(feed.shape)}" for name, feed in feeds.items())
            raise ContextError(
                f"could not be run by onnxruntime on {given}: {_first_line(error)}"
            ) from error
        return dict(zip(fetches, values, strict=True))

    def _session(self) -> Any:
        """Return the session of the whole model, opened on first use."""
        self._check_process()
        if self._whole is None:
            self._whole = self._opener(self._model.data)
        return self._whole


_GATE = Gate()

_ENGINES: WeakSet[Engine] = WeakSet()

_OF_PARENT: list[object] = []
"""Sessions of the parent process, kept open."""


def _forget_parent() -> None:
    for engine in _ENGINES:
        engine.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


@dataclass(frozen=True)
class _Halves:
    """Sessions of the two parts of a model (`dps_infer.graph.split.Split`)."""

    first: Any
    between: tuple[str, ...]
    rest: Any
    again: bool


def open_engine(
    model: Model,
    *,
    device: Device = Device.auto,
    threads: int | None = None,
    limit_memory: bool = False,
) -> Engine:
    """Load an ONNX model.

    Args:
        model: from `dps_infer.graph.model.read_model`, which checks it.
        device: where to compute.
        threads: CPU threads; None takes what this process may use (`available_threads`).
        limit_memory: all models that are opened with this together may take no more memory on the
            CPU than `dps_infer.runtime.memory` states. A run that needs more fails.

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
        raise _no_cuda(f", but this onnxruntime offers only {', '.join(offered)}")

    as_stored = sum(field.number == NODE for field in model.graph) > MANY_NODES

    def opened(part: bytes, *, on_cuda: bool) -> Any:
        return _open(
            onnxruntime,
            part,
            count,
            on_cuda=on_cuda,
            limit_memory=limit_memory,
            as_stored=as_stored and not on_cuda,
        )

    def engine(provider: str, remark: str | None, session: Any = None) -> Engine:
        opener = partial(opened, on_cuda=provider == CUDA)
        return Engine(provider, count, remark, model, opener, session)

    if device is Device.cpu or CUDA not in offered:
        return engine(CPU, None)
    try:
        session = opened(model.data, on_cuda=True)
        failure = "onnxruntime did not take it" if _provider(session) != CUDA else None
    # A model that does not load at all is tried, and reports its own error, on the CPU.
    except ContextError as error:
        session, failure = None, str(error)
    if failure is None:
        return engine(CUDA, None, session)
    if device is Device.cuda:
        raise _no_cuda(f" and does not load ({failure})")
    if session is None:
        session = opened(model.data, on_cuda=False)
    return engine(CPU, f"CUDA is offered but does not load ({failure})", session)


def _no_cuda(reason: str) -> DeviceError:
    from dps_infer.runtime.cuda import HELP

    return DeviceError(f"CUDA was asked for{reason}: {HELP}")


def probe_providers(model: Model) -> dict[str, str | None]:
    """Create a session of a model on each provider that onnxruntime offers.

    A provider whose libraries are missing is offered all the same, and replaced silently.

    Args:
        model: from `dps_infer.graph.model.read_model`.

    Returns:
        Per provider, by onnxruntime's name, the reason why it does not load; None if it does.

    Raises:
        DeviceError: onnxruntime is not installed, or broken.
    """
    onnxruntime = _import_onnxruntime()
    onnxruntime.set_default_logger_severity(_FATAL)
    reasons: dict[str, str | None] = {}
    for name in onnxruntime.get_available_providers():
        try:
            if name in (CPU, CUDA):
                session = _open(onnxruntime, model.data, 1, on_cuda=name == CUDA)
            else:
                session = onnxruntime.InferenceSession(
                    model.data, providers=[name, CPU], enable_fallback=0
                )
            loaded = _provider(session) == name
            reasons[name] = None if loaded else f"replaced by {_provider(session)}"
        # onnxruntime's exceptions have no common base of their own.
        except Exception as error:
            reasons[name] = _first_line(error)
    return reasons


def _open(
    onnxruntime: Any,
    model: bytes,
    threads: int,
    *,
    on_cuda: bool,
    limit_memory: bool = False,
    as_stored: bool = False,
) -> Any:
    options = onnxruntime.SessionOptions()
    if as_stored:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # Shapes vary from pair to pair. See also `Engine.run`.
    options.enable_mem_pattern = False
    # So that onnxruntime reads exactly the bytes that were checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if limit_memory and _has_limited_memory():
        options.add_session_config_entry("session.use_env_allocators", "1")
    providers: list[Any] = [CPU]
    # onnxruntime prints some of its errors on stdout, which is for results only.
    with contextlib.redirect_stdout(io.StringIO()):
        if on_cuda:
            from dps_infer.runtime import cuda

            providers.insert(0, cuda.provider(onnxruntime))
        try:
            with _GATE.entered():
                return onnxruntime.InferenceSession(
                    model, sess_options=options, providers=providers, enable_fallback=0
                )
        except Exception as error:
            raise ContextError(f"cannot be loaded by onnxruntime: {_first_line(error)}") from error


@cache
def _has_limited_memory() -> bool:
    """Make an allocator with a limit, once in a process; return whether that was possible."""
    from dps_infer.runtime.memory import memory_for_runs

    limit = memory_for_runs()
    if limit is None:
        return False
    onnxruntime = _import_onnxruntime()
    where = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    try:
        onnxruntime.create_and_register_allocator(
            where, onnxruntime.OrtArenaCfg({"max_mem": limit})
        )
    # onnxruntime's exceptions have no common base. A program may have made an allocator of its own.
    except Exception:
        return False
    return True


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
    # Two uninstalled wheels leave a folder behind that imports as an empty package.
    if not hasattr(onnxruntime, "InferenceSession"):
        raise DeviceError(_NOT_INSTALLED)
    return onnxruntime


_NOT_INSTALLED = f"onnxruntime is not installed: {install('cpu')}, with [gpu] for an NVIDIA GPU"


def _ports(nodes: Any) -> dict[str, Port]:
    try:
        return {
            node.name: Port(
                node.name,
                node.type.removeprefix("tensor(").removesuffix(")"),
                # onnxruntime gives a symbolic dimension by its name.
                tuple(size if isinstance(size, int) else None for size in node.shape or ()),
            )
            for node in nodes
        }
    except UnicodeDecodeError:
        raise ContextError(
            "has an input or output whose names are not UTF-8 text: export the context again"
        ) from None


def _provider(session: Any) -> str:
    return str(session.get_providers()[0])


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
