"""Network weights from safetensors files, loaded strictly."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from dps_infer.errors import DpsError

SHOWN_KEYS = 6


class WeightsError(DpsError):
    """A weight file that cannot be read or does not fit the network."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        WeightsError: it is missing, or no safetensors file.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is no file: expected weights in the safetensors format")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors ({str(error).splitlines()[0]}): "
            "convert the weights with safetensors.torch.save_file"
        ) from None


def load_strictly(
    module: nn.Module, weights: dict[str, Tensor], *, origin: str, ignorable: Iterable[str] = ()
) -> None:
    """Load weights that must fit: every key of `module` there, no other, equal shapes.

    Args:
        module: what to load into.
        weights: tensors by name.
        origin: the file's name, for the message.
        ignorable: keys that may be there as well (a classifier that the trunk left out).

    Raises:
        WeightsError: names the missing and the surplus keys and the wrong shapes.
    """
    expected = module.state_dict()
    # Older files lack these counters, which inference never reads.
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    missing = [key for key in expected if key not in weights and key not in counters]
    surplus = [key for key in weights if key not in expected and key not in set(ignorable)]
    shapes = [
        f"{key} is {tuple(weights[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in weights and weights[key].shape != value.shape
    ]
    faults = [
        f"{title}: {_some(entries)}"
        for title, entries in (("missing", missing), ("surplus", surplus), ("shapes", shapes))
        if entries
    ]
    if faults:
        raise WeightsError(f"{origin} does not fit the network: {'; '.join(faults)}")
    module.load_state_dict(
        {key: value for key, value in weights.items() if key in expected}, strict=False
    )


def _some(entries: list[str]) -> str:
    """List a few entries, and say how many more there are."""
    shown = ", ".join(entries[:SHOWN_KEYS])
    more = len(entries) - SHOWN_KEYS
    return f"{shown} and {more} more" if more > 0 else shown
