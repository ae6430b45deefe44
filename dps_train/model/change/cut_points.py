"""Tensors at which an exported graph can be cut, so that large images are compared in bands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn


class CutPoints(nn.Module):
    """Names tensors and passes them on; a module that has some holds one of these."""

    def forward(self, name: str, tensor: Tensor) -> Tensor:
        """Return the tensor. Of a single image, it is named for the reference first."""
        return tensor


@contextmanager
def recorded(metric: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Yield the tensors that `metric` names while the block runs it, by name."""
    found: dict[str, list[Tensor]] = {}

    def record(_: nn.Module, given: tuple[str, Tensor], tensor: Tensor) -> None:
        found.setdefault(given[0], []).append(tensor)

    with ExitStack() as stack:
        for module in metric.modules():
            if isinstance(module, CutPoints):
                stack.callback(module.register_forward_hook(record).remove)
        yield found
