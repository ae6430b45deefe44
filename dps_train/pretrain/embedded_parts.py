"""The trainable parts of the embedded metric, and their weights as they are stored."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from dps_train.contexts import PAPER_AMOUNTS
from dps_train.model.embedded.embedded_backbone import EmbeddedNetwork
from dps_train.model.heads import PairHead
from dps_train.model.metric import Preprocess
from dps_train.model.pair_encoder import CODE, IMAGE_SIZE, PairEncoder
from dps_train.pretrain.fold_batch_norm import fold_convolutions, fold_inputs, half_state


class EmbeddedParts(nn.Module):
    """Backbone, pair encoder and head, with or without batch normalization."""

    def __init__(self, *, batch_norm: bool) -> None:
        super().__init__()
        self.backbone = EmbeddedNetwork(batch_norm=batch_norm)
        self.comparison = PairEncoder(batch_norm=batch_norm)
        self.head = PairHead(CODE, PAPER_AMOUNTS)

    def z(self, reference: Tensor, changed: Tensor, *, half: bool = True) -> Tensor:
        """Return z [C, M, D] of references [C, 3, H, W] and their families [C, M, 3, H, W].

        `half` computes in half precision, which makes training several times faster.
        """
        crops, members = changed.shape[:2]
        images = normalize(torch.cat([reference, changed.transpose(0, 1).flatten(0, 1)]))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            maps = self.backbone(images.to(memory_format=torch.channels_last)).values()
            maps = self.comparison.normalized(list(maps))
            first = [torch.cat([layer[:crops]] * members) for layer in maps]
            second = [layer[crops:] for layer in maps]
            return self.comparison(first, second).unflatten(0, (members, crops)).transpose(0, 1)


def computes_in_half() -> bool:
    """Return whether the processor computes in half precision; others take longer for it."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and bool(
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )


def normalize(images: Tensor) -> Tensor:
    """Normalize float RGB [N, 3, H, W] in [0, 1] as the embedded metric does."""
    return Preprocess(IMAGE_SIZE).normalize(images)


def initial_parts(generator: torch.Generator) -> EmbeddedParts:
    """Return the parts with random weights and batch normalization."""
    # PyTorch's layers draw their weights from the global state: fork and seed it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        return EmbeddedParts(batch_norm=True)


def fold(parts: EmbeddedParts) -> EmbeddedParts:
    """Return the same function without batch normalization, its parameters rounded as stored."""
    parts = copy.deepcopy(parts).eval()
    fold_convolutions(parts)
    statistics = parts.comparison.statistics
    assert isinstance(statistics.normalize, nn.BatchNorm1d)
    fold_inputs(statistics.normalize, statistics.linear)
    statistics.normalize = nn.Identity()
    # New layers draw weights from the global state, which must not change.
    with torch.random.fork_rng(devices=[]):
        folded = EmbeddedParts(batch_norm=False)
    folded.load_state_dict(half_state(parts))
    return folded


def stored_weights(parts: EmbeddedParts) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights of the backbone, and those of pair encoder and head, as stored."""
    rest = nn.ModuleDict({"comparison": parts.comparison, "head": parts.head})
    return half_state(parts.backbone), half_state(rest)
