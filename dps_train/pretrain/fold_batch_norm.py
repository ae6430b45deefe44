"""Smaller versions of a trained network: batch normalization folded away, half precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_convolutions(module: nn.Module) -> None:
    """Fold every batch normalization that follows a convolution into it, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential) and len(child) == 3:
            convolution, normalization, activation = child
            if isinstance(convolution, nn.Conv2d) and isinstance(normalization, nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(convolution.eval(), normalization.eval())
                setattr(module, name, nn.Sequential(fused, activation))
                continue
        fold_convolutions(child)


def fold_inputs(normalization: nn.BatchNorm1d, linear: nn.Linear) -> None:
    """Fold a batch normalization into the linear layer that follows it, in place."""
    mean, variance = normalization.running_mean, normalization.running_var
    assert mean is not None
    assert variance is not None
    gain = normalization.weight / torch.sqrt(variance + normalization.eps)
    with torch.no_grad():
        linear.bias.add_(linear.weight @ (normalization.bias - mean * gain))
        linear.weight.mul_(gain)


def half_state(module: nn.Module) -> dict[str, Tensor]:
    """Return the state with parameters in half precision, and buffers unchanged."""
    parameters = dict(module.named_parameters())
    return {
        name: (value.detach().half() if name in parameters else value).contiguous()
        for name, value in module.state_dict().items()
    }
