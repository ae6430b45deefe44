"""Generated images and metrics, and the outcome of a command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_infer.model.manifest import DataInfo
from dps_train.contexts import AMOUNTS, PAPER_AMOUNTS
from dps_train.data.dead_leaves import dead_leaves
from dps_train.distortions.distortion import quantize
from dps_train.fit import from_judgements
from dps_train.fit.presence import fit
from dps_train.fit.presence.training import initialize
from dps_train.measure import anchor_ladders, evaluation_bank
from dps_train.model.backbone.backbones import Backbone
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.codes import ChannelCode, PairCode
from dps_train.model.comparisons import Comparison
from dps_train.model.embedded import embedded_backbone, embedded_metric
from dps_train.model.heads import PairHead, ScalarHead
from dps_train.model.metric import Metric, Preprocess
from dps_train.model.pair_encoder import CODE, PairEncoder
from dps_train.pretrain.embedded_parts import EmbeddedParts, fold, stored_weights

COUNT = 6
TINY = ("--pairs", "100", "--epochs", "20")
"""A training of seconds; its metric is useless."""

StandIns = tuple[Path, Path, Path]
"""Files of the embedded metric: its backbone, its pair encoder, and its head."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def natural(count: int, height: int = 64, width: int = 64) -> torch.Tensor:
    """Smooth colors with some grain, in 256 levels."""
    coarse = torch.rand(count, 3, 6, 6, generator=seeded(3))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return quantize(smooth + 0.03 * torch.randn(smooth.shape, generator=seeded(4)))


def random_backbone(name: str = "embedded", layers: tuple[str, ...] | None = None) -> Backbone:
    """A network with weights that are random, but always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Backbone(name, layers)


def random_pretraining(seed: int = 4) -> EmbeddedParts:
    """The embedded metric as it is trained, with weights and statistics that are random."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = EmbeddedParts(batch_norm=True)
    generator = seeded(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                # Feature differences come out near 1, as those of the trained network do.
                module.running_var.uniform_(0.1, 0.4, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.2, generator=generator)
        # Most amounts are above 0: amounts of 0 would agree trivially.
        model.head.layers[-1].bias.fill_(1.0)
    return model.eval()


def write_stand_ins(folder: Path) -> StandIns:
    """Write weights of the embedded metric that are random, under the names of the real ones."""
    folder.mkdir(parents=True, exist_ok=True)
    real = embedded_backbone.WEIGHTS, embedded_metric.WEIGHTS, embedded_metric.PRESENCE
    backbone, rest, presence = (folder / path.name for path in real)
    data = DataInfo(source="none", images=1, sha256="0" * 64)
    recipe = embedded_metric.Recipe(data, steps=0, seed=0).metadata()
    for path, weights in zip(
        (backbone, rest), stored_weights(fold(random_pretraining())), strict=True
    ):
        safetensors.torch.save_file(weights, path, metadata=recipe)
    metric = with_random_presence(embedded_metric.untrained_universal(backbone, rest))
    weights = embedded_metric.presence_weights(metric)
    safetensors.torch.save_file(weights, presence, metadata=recipe)
    return backbone, rest, presence


def encoder_metric() -> Metric:
    """The pair encoder and its own head with random weights, as a metric of its own."""
    weights, rest = stored_weights(fold(random_pretraining()))
    encoder, head = PairEncoder(), PairHead(CODE, PAPER_AMOUNTS)
    metric = Metric(Preprocess(64), _backbone(weights), encoder, head)
    nn.ModuleDict({"comparison": encoder, "head": head}).load_state_dict(rest)
    return metric.eval()


def pair_metric() -> ChangeMetric:
    """The embedded metric with random weights, all importances different."""
    parts = encoder_metric()
    code = PairCode(parts.comparison, parts.head)
    metric = ChangeMetric(parts.preprocess, parts.backbone, code)
    return with_importances(with_random_presence(metric.eval()))


def channel_metric(size: int | None, comparison: str = "spatial+mean") -> ChangeMetric:
    """A metric that reads channel distances, with random weights, all importances different."""
    weights, _ = stored_weights(fold(random_pretraining()))
    backbone, compared = _backbone(weights), Comparison(comparison)
    code = ChannelCode(compared, _channels(backbone, compared))
    metric = ChangeMetric(Preprocess(size), backbone, code)
    return with_importances(with_random_presence(metric.eval()))


def scalar_metric(size: int | None, comparison: str = "spatial+mean") -> Metric:
    """A metric of one amount: random scalars on channel distances."""
    weights, _ = stored_weights(fold(random_pretraining()))
    backbone, compared = _backbone(weights), Comparison(comparison)
    head = ScalarHead(_channels(backbone, compared))
    with torch.no_grad():
        head.weights.uniform_(0, 2, generator=seeded(5))
    return Metric(Preprocess(size), backbone, compared, head).eval()


def with_random_presence(metric: ChangeMetric) -> ChangeMetric:
    """Give a metric a head of random weights, as files hold them."""
    generator = seeded(6)
    for part in (metric.comparison.cell_head, metric.head.layers):
        initialize(part, generator)
        with torch.no_grad():
            for parameter in part.parameters():
                parameter.copy_(parameter.half().float())
    metric.head.scale.uniform_(0.5, 2, generator=generator)
    return metric


@torch.no_grad()
def _channels(backbone: Backbone, comparison: Comparison) -> int:
    maps = comparison.normalized(backbone(torch.zeros(1, 3, 32, 32)))
    return comparison(maps, maps).shape[1]


def _backbone(weights: dict[str, Tensor]) -> Backbone:
    backbone = Backbone("embedded")
    backbone.network.load_state_dict(weights)
    return backbone


def with_importances(metric: ChangeMetric) -> ChangeMetric:
    """Set importances that are all different, and exact in binary."""
    metric.head.set_importances({name: 2.0 ** (number - 8) for number, name in enumerate(AMOUNTS)})
    return metric


def photos(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """uint8 RGB [N, H, W, 3]: patches of color with grain."""
    generator = seeded(seed)
    coarse = torch.randint(256, (count, 3, 4, 4), generator=generator).float()
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear")
    grain = torch.randn(smooth.shape, generator=generator) * 10
    return (smooth + grain).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def mean_over_image(metric: Metric, places: Tensor, height: int, width: int) -> Tensor:
    """The mean of maps [N, h, w]; those of changes have places of 8 pixels, some partly outside."""
    if not isinstance(metric, ChangeMetric):
        return places.mean(dim=(1, 2))
    rows, columns = (
        (length / 8 - torch.arange(count)).clamp(0, 1)
        for length, count in zip((height, width), places.shape[1:], strict=True)
    )
    share = rows[:, None] * columns
    return (places * share).sum(dim=(1, 2)) / share.sum()


def write_images(folder: Path, count: int = COUNT) -> Path:
    """Write dead leaves of several shapes as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = seeded(7)
    for number in range(count):
        image = dead_leaves(80, generator, leaves=80)[: 80 - 4 * number]
        assert cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])
    return folder


def levels(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Random float RGB images [N, 3, H, W] of 256 levels, some of them flat, gray or saturated."""
    images = torch.randint(256, (count, 3, height, width), generator=seeded(seed)).float() / 255
    images[0::4, 1:] = images[0::4, :1]
    images[1::4] = images[1::4].round()
    images[2::4, :, : height // 2] = 0
    images[2::4, :, :, : width // 3] = 1
    return images


@dataclass
class Outcome:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The last line on stderr, the error's; nothing is on stdout."""
        assert self.out == ""
        line = self.err.splitlines()[-1]
        assert "error: " in line
        assert sum("error" in other for other in self.err.splitlines()) == 1
        assert "unexpected" not in line, line
        return line

    @property
    def notes(self) -> list[str]:
        """The command's own lines on stderr; slow machines add lines of progress."""
        return [line for line in self.err.splitlines() if line.startswith("dps-train: ")]

    @property
    def record(self) -> dict:
        """The JSON on stdout, by the standard: no NaN, no infinity."""
        return strict_json(self.out)


def strict_json(text: str) -> dict:
    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@contextmanager
def measured_quickly() -> Iterator[None]:
    """Train and measure on few and small images."""
    few = {name: (change, steps[::5]) for name, (change, steps) in anchor_ladders.LADDERS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anchor_ladders, "LADDERS", few)
        patch.setattr(anchor_ladders, "SIDE", 64)
        patch.setattr(anchor_ladders, "PARTS", anchor_ladders.PARTS[:1])
        patch.setattr(evaluation_bank, "GRADES", 3)
        patch.setattr(evaluation_bank, "DRAWS", 2)
        patch.setattr(from_judgements, "MOST_HELD_OUT", 4)
        patch.setattr(fit, "OWN_SIDE", 64)
        yield


@contextmanager
def instead_of_the_real(stand_ins: StandIns) -> Iterator[None]:
    """Make the embedded metric of other files."""
    backbone, rest, presence = stand_ins
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded_backbone, "WEIGHTS", backbone)
        patch.setattr(embedded_metric, "WEIGHTS", rest)
        patch.setattr(embedded_metric, "PRESENCE", presence)
        yield
