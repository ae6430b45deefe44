"""Network weights from safetensors files, loaded strictly."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from dps_infer.errors import DpsError
from dps_infer.files.write import sha256_file
from dps_infer.model.manifest import WeightsInfo

UNKNOWN_LICENSE = "unknown: see its source"

OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


class WeightsError(DpsError):
    """A weight file that cannot be read or does not fit the network."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; WeightsError if it is missing, or not such a file."""
    if not path.is_file():
        raise WeightsError(f"{path} is not a file: expected weights in the safetensors format")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file; raises as `read_weights`."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None


def weights_info(path: Path) -> WeightsInfo:
    """Return source, hash and license of a safetensors file.

    Its metadata may state `source` and `licence` (or `license`); the default source is the
    file's name.
    """
    stated = {key: " ".join(value.split()) for key, value in read_metadata(path).items()}
    return WeightsInfo(
        source=stated.get("source") or path.name,
        sha256=sha256_file(path),
        licence=stated.get("licence") or stated.get("license") or UNKNOWN_LICENSE,
    )


def with_current_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights of torchvision's DenseNet files, which have names like ``norm.1.weight``."""
    return {OLD_DENSENET.sub(r"\1\2", key): value for key, value in weights.items()}


def load_strictly(
    module: nn.Module, weights: dict[str, Tensor], *, origin: str, ignorable: Iterable[str] = ()
) -> None:
    """Load weights that must fit: no missing key, no surplus key, equal shapes.

    `ignorable` keys may be there as well (a classifier that the backbone leaves out).

    Raises:
        WeightsError: names `origin`, and every missing and surplus key and wrong shape.
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
        f"{title}: {', '.join(entries)}"
        for title, entries in (("missing", missing), ("surplus", surplus), ("shapes", shapes))
        if entries
    ]
    if faults:
        raise WeightsError(f"{origin} does not fit the network: {'; '.join(faults)}")
    module.load_state_dict(
        {key: value for key, value in weights.items() if key in expected}, strict=False
    )


def state_sha256(module: nn.Module) -> str:
    """Return a hash over all parameters and buffers of a module, in safetensors' layout."""
    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    return hashlib.sha256(safetensors.torch.save(state)).hexdigest()


def _unreadable(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"{path} cannot be read as safetensors ({str(error).splitlines()[0]}): "
        "convert the weights with safetensors.torch.save_file"
    )
