"""Sessions on CUDA: how they are set up, and how images get to them and numbers back.

The rows of a batch are computed each by itself, so nothing here changes a number. Nothing here
needs a GPU either: it works on a session of any provider, and is tested on the CPU's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dps_infer.runtime.device import CUDA

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELP = (
    'install it with pip install "dps-toolkit[gpu]" (without the package onnxruntime beside it), '
    "check the driver with nvidia-smi, or pass --device cpu"
)

Feeds = Mapping[str, "NDArray[Any]"]


@dataclass(frozen=True)
class Feeding:
    """How a session is fed.

    Attributes:
        filled: fill batches up to 1, 2, 4, 8 ... rows: cuDNN looks for the best way to compute
            each new shape, and memory is laid out anew. The further rows are thrown away. A
            reference of many candidates is repeated as well: cuDNN computes batches of
            different sizes differently, and identical images must go through the same.
        bound_to: the device, by onnxruntime's name, that inputs are put on once a run, before
            it starts, and outputs are left on until all are there; None leaves both to
            onnxruntime.
    """

    filled: bool
    bound_to: str | None


ON_CUDA = Feeding(filled=True, bound_to="cuda")


def provider(onnxruntime: Any) -> tuple[str, dict[str, str]]:
    """Load CUDA's libraries where pip put them, and return the provider with its options."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.suppress(Exception):
            onnxruntime.preload_dlls()
    # The exhaustive search would run again for every new shape; TF32 rounds the inputs of
    # convolutions to 10 bits, and the same pair would differ from the CPU's.
    return CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}


def run(
    session: Any, fetches: Sequence[str], feeds: Feeds, options: Any, feeding: Feeding
) -> list[NDArray[Any]]:
    """Compute the named outputs of an onnxruntime session.

    Args:
        session: of a context file (`dps_infer.model.contract`).
        fetches: names of outputs; each has a row for each distorted image.
        feeds: the inputs by name.
        options: onnxruntime's for the run.
        feeding: how.
    """
    rows = max(len(feed) for feed in feeds.values() if _holds_images(feed))
    given = _filled(feeds) if feeding.filled else feeds
    if feeding.bound_to is None:
        values = session.run(list(fetches), dict(given), options)
    else:
        values = _run_bound(session, fetches, given, options, feeding.bound_to)
    return [value[:rows] for value in values]


def _filled(feeds: Feeds) -> dict[str, NDArray[Any]]:
    """Repeat the last image of each batch until there are 1, 2, 4, 8 ... of them in both."""
    import numpy as np

    filled = dict(feeds)
    batches = {name: feed for name, feed in feeds.items() if _holds_images(feed)}
    rows = 1 << (max(map(len, batches.values())) - 1).bit_length()
    for name, feed in batches.items():
        if len(feed) < rows:
            filled[name] = np.concatenate([feed, feed[-1:].repeat(rows - len(feed), axis=0)])
    return filled


def _run_bound(
    session: Any, fetches: Sequence[str], feeds: Feeds, options: Any, device: str
) -> list[NDArray[Any]]:
    import numpy as np

    binding = session.io_binding()
    # What is bound is read where it lies: it has to lie there in one piece, until the end.
    held = {name: np.ascontiguousarray(feed) for name, feed in feeds.items()}
    for name, feed in held.items():
        binding.bind_cpu_input(name, feed)
    for name in fetches:
        binding.bind_output(name, device)
    binding.synchronize_inputs()
    session.run_with_iobinding(binding, options)
    binding.synchronize_outputs()
    values: list[NDArray[Any]] = binding.copy_outputs_to_cpu()
    return values


def _holds_images(feed: NDArray[Any]) -> bool:
    """Return whether an input is of images [N, H, W, 3]; importances are [K + 1]."""
    return feed.ndim == 4
