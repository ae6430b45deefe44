"""The quality of a learned distortion on photographs; kept apart because it takes long."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dps_infer.contexts.context import ranking_context
from dps_train.contexts import all_rankings
from dps_train.custom.custom_distortion import all_distortions
from dps_train.custom.find import find_custom
from dps_train.data.crops import resize_images
from dps_train.data.sources import load_held_out
from dps_train.evaluate.heads import measure_heads
from dps_train.fit.settings import Settings
from dps_train.fit.train_variant import train_additive
from dps_train.model.embedded.embedded_metric import load_universal

JPEG = str(Path(__file__).parents[3] / "examples" / "jpeg_distortion.py")
SHARED = Path(__file__).parents[4] / "shared" / "images" / "bsds500"

pytestmark = pytest.mark.usefixtures("real_weights")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared photographs")
def test_jpeg_is_learned_and_the_six_are_not_disturbed():
    """With a twentieth of the default pairs, 16 images, and 30 of the 720 rankings."""
    own = find_custom([JPEG])
    metric, before = load_universal(), load_universal()
    training = load_held_out(str(SHARED / "train"), torch.Generator())
    settings = Settings(custom=own, data=str(SHARED / "train"), pairs=1500)
    cpu = torch.device("cpu")
    train_additive(metric, settings, training, cpu)
    held_out = load_held_out(str(SHARED / "val"), torch.Generator()).images[:16]
    images = resize_images(held_out, 64)
    distortions = all_distortions(own)
    names = tuple(distortion.name for distortion in distortions)
    six = [ranking_context(context.ranking, names) for context in all_rankings()[::24]]
    was, now = (
        measure_heads(
            one,
            ("own",),
            images,
            six,
            own="own",
            training=None,
            seed=0,
            device=cpu,
            distortions=distortions,
        )["own"]
        for one in (before, metric)
    )
    assert now.score.mean > was.score.mean - 0.01
    assert now.score.min > was.score.min - 0.01
    assert now.named["jpeg"] >= 0.95
    assert now.monotonicity["jpeg"] >= 0.95
