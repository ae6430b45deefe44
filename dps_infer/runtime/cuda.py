"""CUDA: options of the provider, and how inputs and outputs move to and from the device.

Each row of a batch is computed independently, so nothing here changes a result. The functions
work with a session of any provider, and are tested on the CPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dps_infer.extras import install
from dps_infer.runtime.device import CUDA

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELP = (
    f"install it with {install('gpu')} (without the package onnxruntime beside it), "
    "check the driver with nvidia-smi, or pass --device cpu"
)

Feeds = Mapping[str, "NDArray[Any]"]


@dataclass(frozen=True)
class Feeding:
    """Padding of batches, and binding of inputs and outputs.

    Attributes:
        filled: pad batches to 1, 2, 4, 8 ... rows, since cuDNN tunes its algorithms and lays out
            memory again for each new shape. The padding rows are discarded. The reference of
            many candidates is repeated as well: cuDNN computes batches of different sizes
            differently, and identical images must be computed the same way.
        bound_to: the device, by onnxruntime's name, to which inputs are copied before a run, and
            on which outputs stay until all of them are computed; None leaves both to
            onnxruntime.
    """

    filled: bool
    bound_to: str | None


ON_CUDA = Feeding(filled=True, bound_to="cuda")


def provider(onnxruntime: Any) -> tuple[str, dict[str, str]]:
    """Load CUDA's libraries from their pip packages, and return the provider and its options."""
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
        fetches: names of outputs; each has a row per distorted image.
        feeds: the inputs by name.
        options: onnxruntime's options for the run.
        feeding: padding and binding.
    """
    rows = max(len(feed) for feed in feeds.values() if _holds_images(feed))
    given = _filled(feeds) if feeding.filled else feeds
    if feeding.bound_to is None:
        values = session.run(list(fetches), dict(given), options)
    else:
        values = _run_bound(session, fetches, given, options, feeding.bound_to)
    return [value[:rows] for value in values]


def _filled(feeds: Feeds) -> dict[str, NDArray[Any]]:
    """Repeat the last image of each batch until both have 1, 2, 4, 8 ... images."""
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
    # onnxruntime reads bound arrays in place: they must be contiguous and stay alive.
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
    """Return whether an input holds images [N, H, W, 3]; importances are [K + 1]."""
    return feed.ndim == 4
