"""The same distances as the `lpips` package, from the same trunk and the same linear weights.

The remaining difference is rounding. LPIPS divides features by norm + 1e-10, ours by a norm of no
less than 1e-4: the same to a share of 1e-8 wherever the norm is above 0.01, which each test
checks of its maps. And float32 sums run in another order: a few times 6e-8 of distances
near 1. So 1e-6 is asked for; 4e-7 has been seen.
"""

from __future__ import annotations

import lpips
import pytest
import torch
from torch import Tensor
from train_helpers import photos, seeded

from dps_train.model.backbone.backbones import NORMALIZATIONS, Backbone
from dps_train.model.backbone.layer_presets import LPIPS
from dps_train.model.comparisons import Comparison
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric, Preprocess

TOLERANCE = 1e-6
SMALLEST_NORM = 0.01

NETWORKS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


# torchvision's word on how lpips makes its trunks.
@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
@pytest.mark.parametrize("net", NETWORKS)
@torch.no_grad()
def test_distances_are_those_of_the_lpips_package(net):
    theirs, linear = theirs_at_random(net)
    ours = ours_with(NETWORKS[net], theirs.net.state_dict(), linear)
    reference, distorted = photos(3, 70, 82, 1), photos(3, 70, 82, 2)
    distorted[0] = reference[0]

    expected = theirs(as_lpips(reference), as_lpips(distorted)).flatten()
    distance, _, _ = ours(reference, distorted)
    maps = ours.backbone(ours.preprocess(torch.cat([reference, distorted])))
    assert min(layer.norm(dim=1).min() for layer in maps) > SMALLEST_NORM
    assert distance[0] == 0
    assert distance[1:].min() > 0.05
    torch.testing.assert_close(distance, expected, rtol=0, atol=TOLERANCE)


def theirs_at_random(net: str) -> tuple[lpips.LPIPS, Tensor]:
    """LPIPS with random weights throughout, and its linear ones, layer after layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        metric = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    generator = seeded(1)
    for layer in metric.lins:
        layer.model[1].weight.uniform_(0, 1, generator=generator)
    return metric.eval(), torch.cat([layer.model[1].weight.flatten() for layer in metric.lins])


def ours_with(name: str, trunk: dict[str, Tensor], linear: Tensor) -> Metric:
    with torch.device("meta"):
        backbone = Backbone(name, LPIPS[name])
    # slice3.6.weight is features.6.weight there.
    state = {f"features.{key.partition('.')[2]}": value for key, value in trunk.items()}
    backbone.network.load_state_dict(state, assign=True)
    metric = Metric(
        Preprocess(None, *NORMALIZATIONS["lpips"]),
        backbone,
        Comparison("spatial"),
        ScalarHead(len(linear)),
    )
    metric.head.load_state_dict({"weights": linear}, strict=False)
    return metric.eval()


def as_lpips(images: Tensor) -> Tensor:
    """From uint8 [N, H, W, 3] to float [N, 3, H, W] in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1
