"""The loss: its values are those of the metric, and its gradients lead somewhere."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from train_helpers import photos, scalar_metric, seeded

from dps_infer.contexts.context import importance_context, ranking_context
from dps_infer.errors import ImageError, UsageError
from dps_infer.model.run_folder import RunError
from dps_train.data.sources import photograph
from dps_train.loss import PerceptualLoss, perceptual_loss
from dps_train.model.change.general_distance import CORRECTION
from dps_train.model.embedded.embedded_metric import load_universal

RANKING = "translate,*,blur"
MODES = {
    "general": {},
    "ranking": {"ranking": RANKING},
    "exact": {"exact": True},
    "exact ranking": {"ranking": RANKING, "exact": True},
}

# Values of float32 at 255 times and at once their range; distances are of magnitude 1.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def loss_of(mode: str, **settings) -> PerceptualLoss:
    return PerceptualLoss(**MODES[mode], **settings)


def planes(images: Tensor) -> Tensor:
    """Float RGB [N, 3, H, W] in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def pairs(count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    return planes(photos(count, height, width)), planes(photos(count, height, width, 9))


def gradient(loss: PerceptualLoss, first: Tensor, second: Tensor) -> Tensor:
    first = first.clone().requires_grad_()
    loss(first, second).sum().backward()
    return first.grad


# --- Values -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (40, 47), (96, 130)])
@torch.no_grad()
def test_the_exact_loss_is_the_distance_of_the_metric(size):
    first, second = photos(3, *size), photos(3, *size, 9)
    metric = load_universal()
    for context, given in (
        (ranking_context(RANKING), {"ranking": RANKING}),
        (importance_context("size=1"), {"context": "general"}),
        (importance_context("blur=2,noise=1,size=0.5"), {"importances": "blur=2,noise=1,size=0.5"}),
    ):
        metric.head.set_importances(context.importances)
        expected, _, _ = metric(first, second)
        loss = PerceptualLoss(**given, exact=True, reduction="none")
        torch.testing.assert_close(loss(planes(first), planes(second)), expected, **CLOSE)


@torch.no_grad()
def test_without_detail_the_loss_is_the_distance_but_for_the_correction():
    first, second = pairs(4, 64, 80)
    for mode in ("general", "ranking"):
        value = loss_of(mode, detail=0, reduction="none")(first, second)
        exact = loss_of(f"exact {mode}".removesuffix(" general"), reduction="none")(first, second)
        assert (torch.log(value / exact).abs() <= CORRECTION + 1e-4).all()


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_it_is_symmetric_and_each_pair_counts_alone(mode):
    first, second = pairs(3, 64, 70)
    loss = loss_of(mode, reduction="none")
    values = loss(first, second)
    assert (values >= 0).all()
    assert values.any()
    torch.testing.assert_close(loss(second, first), values, **CLOSE)
    torch.testing.assert_close(loss(first[1:2], second[1:2]), values[1:2], **CLOSE)


@torch.no_grad()
def test_reductions():
    first, second = pairs(3, 64, 64)
    each = PerceptualLoss(reduction="none")(first, second)
    assert each.shape == (3,)
    torch.testing.assert_close(PerceptualLoss(reduction="sum")(first, second), each.sum())
    torch.testing.assert_close(PerceptualLoss()(first, second), each.mean())


@pytest.mark.parametrize("value_range", [(-1, 1), (0, 255)])
@torch.no_grad()
def test_values_are_in_the_stated_range(value_range):
    low, high = value_range
    first, second = pairs(2, 64, 64)
    expected = PerceptualLoss()(first, second)
    scaled = (images * (high - low) + low for images in (first, second))
    torch.testing.assert_close(PerceptualLoss(value_range=value_range)(*scaled), expected, **CLOSE)


@torch.no_grad()
def test_finer_detail_than_the_metric_sees_counts():
    flat = torch.full((1, 3, 64, 64), 0.5)
    board = torch.arange(64)[:, None] + torch.arange(64)
    fine = flat + 0.05 * (board % 2 * 2 - 1)
    assert PerceptualLoss(detail=0)(fine, flat) < 0.001
    assert PerceptualLoss()(fine, flat) > 0.2


@torch.no_grad()
def test_detail_is_compared_where_the_motion_moved_it(real_weights):
    image = torch.from_numpy(photograph("chelsea")).permute(2, 0, 1)[None] / 255
    first, shifted = image[..., 20:148, 20:148], image[..., 22:150, 18:146]
    other = image[..., 20:148, 200:328]
    plain, with_detail = PerceptualLoss(detail=0), PerceptualLoss()
    added, most = (float(with_detail(first, two) - plain(first, two)) for two in (shifted, other))
    assert added < 0.15 * most


# --- Gradients --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_zero_where_images_are_identical(mode):
    images, _ = pairs(2, 50, 64)
    images[1] = 0.3
    loss = loss_of(mode)
    assert loss(images, images.clone()) == 0
    assert not gradient(loss, images, images.clone()).any()


def hard_pairs(count: int) -> tuple[Tensor, Tensor]:
    """Random, flat, nearly identical, black and white, striped, and identical images."""
    first = torch.rand(count, 3, 24, 20, generator=seeded(1))
    second = torch.rand(count, 3, 24, 20, generator=seeded(2))
    first[::8] = first[::8, :, :1, :1]
    second[::16] = second[::16, :, :1, :1]
    second[1::8] = first[1::8] + 1e-4 * (second[1::8] - 0.5)
    second[2::8] = first[2::8]
    first[3::8] = (first[3::8] > 0.5).float()
    second[3::16] = 1 - first[3::16]
    first[4::8], second[4::8] = 0, 1
    first[5::8] = 0.5
    second[5::8] = 0.5
    second[5::8, :, 3, 3] += 1e-3
    first[6::8, :, ::2] = 0
    return first, second


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_finite(mode):
    first, second = hard_pairs(64)
    loss = loss_of(mode, reduction="none")
    for one, two in ((first, second), (second, first)):
        assert torch.isfinite(gradient(loss, one, two)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (2, 3), (65, 17)])
@pytest.mark.parametrize("mode", ["ranking", "exact"])
def test_gradients_are_finite_at_any_size(mode, size):
    first = torch.rand(2, 3, *size, generator=seeded(1))
    second = torch.rand(2, 3, *size, generator=seeded(2))
    loss = loss_of(mode)
    assert torch.isfinite(loss(first, second))
    assert torch.isfinite(gradient(loss, first, second)).all()


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "ranking"])
def test_gradients_agree_with_finite_differences(mode):
    loss = loss_of(mode).double()
    first, second = (
        torch.rand(2, 3, 12, 10, generator=seeded(seed), dtype=torch.float64).requires_grad_()
        for seed in (1, 2)
    )
    assert loss(first, second).dtype == torch.float64
    torch.autograd.gradcheck(loss, (first, second), fast_mode=True)


def test_a_context_scales_the_gradient_of_a_pair():
    first, second = pairs(1, 64, 64)
    general, ranking = loss_of("general"), loss_of("ranking")
    there, here = gradient(general, first, second), gradient(ranking, first, second)
    factor = (ranking(first, second) / general(first, second)).item()
    torch.testing.assert_close(here, factor * there, rtol=1e-4, atol=1e-7)


def test_what_a_context_does_not_care_about_has_no_gradient(real_weights):
    image = torch.from_numpy(photograph("chelsea")).permute(2, 0, 1)[None] / 255
    first, shifted = image[..., 20:148, 20:148], image[..., 24:152, 17:145]
    blurred = torch.nn.functional.avg_pool2d(first, 5, 1, 2, count_include_pad=False)
    loss = PerceptualLoss(importances="blur=1,noise=1,other=1")
    assert loss(first, shifted) == 0
    assert not gradient(loss, first, shifted).any()
    assert loss(first, blurred) > 0.2
    assert gradient(loss, first, blurred).any()


def test_adam_removes_noise_from_a_photograph(real_weights):
    image = torch.from_numpy(photograph("chelsea")).permute(2, 0, 1)[None] / 255
    clean = image[..., 60:124, 100:164]
    noise = torch.randn(clean.shape, generator=seeded(3)) * 25 / 255
    noisy = (clean + noise).requires_grad_()
    loss, optimizer = PerceptualLoss(), torch.optim.Adam([noisy], lr=0.01)
    before = psnr(noisy, clean)
    for _ in range(50):
        optimizer.zero_grad()
        loss(noisy, clean).backward()
        optimizer.step()
    assert psnr(noisy, clean) > before + 2


def psnr(one: Tensor, two: Tensor) -> float:
    return -10 * float((one.detach() - two).square().mean().log10())


# --- As a module ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_autocast_changes_nothing(mode):
    loss, (first, second) = loss_of(mode), pairs(2, 64, 64)
    first.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(first, second)
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(first, second))
    torch.testing.assert_close(first.grad, gradient(loss, first.detach(), second))


def test_half_precision_is_computed_in_single():
    loss, (first, second) = PerceptualLoss(), pairs(2, 64, 64)
    value = loss(first.half(), second.half())
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(first, second), rtol=2e-3, atol=1e-3)
    assert gradient(loss, first.half(), second.half()).dtype == torch.float16


@pytest.mark.parametrize("mode", MODES)
def test_it_runs_where_its_images_are(mode):
    """Tensors without values, on a device that need not be there: a mix of devices is refused."""
    loss = loss_of(mode)
    loss(*pairs(1, 64, 64))  # checks the range
    own = [*loss.named_parameters(), *loss.named_buffers()]
    with FakeTensorMode():
        there = {name: torch.empty(v.shape, dtype=v.dtype, device="cuda") for name, v in own}
        images = torch.empty(2, 3, 70, 80, device="cuda")
        assert functional_call(loss, there, (images, images)).device.type == "cuda"
        there["metric.comparison.change.halving.kernels"] = torch.empty(12, 3, 2, 2)
        with pytest.raises(RuntimeError, match="device"):
            functional_call(loss, there, (images, images))


def test_it_compiles_to_one_graph():
    loss, (first, second) = loss_of("ranking"), pairs(2, 40, 48)
    # What breaks a graph breaks it before any backend; compiling to machine code takes minutes.
    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(first, second), loss(first, second))
    torch.testing.assert_close(gradient(compiled, first, second), gradient(loss, first, second))


def test_it_does_not_learn():
    loss = PerceptualLoss().train()
    assert not any(module.training for module in loss.modules())
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_copies_and_inputs_are_as_before():
    loss, (first, second) = PerceptualLoss(ranking=RANKING), pairs(2, 64, 64)
    before = first.clone(), second.clone()
    assert copy.deepcopy(loss)(first, second) == loss(first, second)
    assert torch.equal(first, before[0])
    assert torch.equal(second, before[1])
    assert "value_range=(0.0, 1.0), reduction=mean, detail=5" in repr(loss)


# --- Contexts and errors ----------------------------------------------------------------


@torch.no_grad()
def test_a_context_is_a_name_a_value_or_a_run(run_folder):
    first, second = pairs(2, 64, 64)
    general = PerceptualLoss()(first, second)
    assert PerceptualLoss("general")(first, second) == general
    assert PerceptualLoss(importance_context("size=1"))(first, second) == general
    run = PerceptualLoss(run_folder)(first, second)
    assert run != general
    assert PerceptualLoss(str(run_folder))(first, second) == run
    assert PerceptualLoss(run_folder, importances="size=1")(first, second) == general


@torch.no_grad()
def test_a_metric_without_kinds_keeps_its_context(monkeypatch, tmp_path):
    metric = scalar_metric(32)
    monkeypatch.setattr(perceptual_loss, "load_run", lambda folder: (metric, None))
    first, second = photos(2, 64, 64), photos(2, 64, 64, 9)
    loss = PerceptualLoss(tmp_path, reduction="none")
    assert loss.exact
    torch.testing.assert_close(loss(planes(first), planes(second)), metric(first, second)[0])
    with pytest.raises(UsageError, match="keeps the context"):
        PerceptualLoss(tmp_path, ranking=RANKING)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"reduction": "median"}, UsageError, "'median': expected mean, sum, none"),
        ({"value_range": (1, 0)}, UsageError, "expected black below white"),
        ({"detail": -1}, UsageError, "detail -1: expected a number >= 0"),
        ({"ranking": "blurr"}, UsageError, "blurr"),
        ({"ranking": RANKING, "importances": "blur=1"}, UsageError, "got 2"),
        ({"context": "general", "ranking": RANKING}, UsageError, "got 2"),
        ({"context": "no-such-context"}, UsageError, "no saved context"),
        ({"context": "no/such/run"}, RunError, "no/such/run"),
    ],
)
def test_wrong_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        PerceptualLoss(**settings)


def test_wrong_images_are_refused():
    loss, images = PerceptualLoss(), torch.rand(2, 3, 64, 64)
    for first, second, message in (
        (images, images[:1], "expected images of one shape"),
        (images, images[..., :60], "expected images of one shape"),
        (images[0], images[0], r"prediction: expected float RGB \[N, 3, H, W\], got float32 \[3"),
        (images.byte(), images, "prediction: .* got uint8"),
        (images, images[:, :1], "target: expected float RGB"),
        (images, 255 * images, r"got a target in \[.*: state its range"),
    ):
        with pytest.raises(ImageError, match=message):
            loss(first, second)
    # What a network overshoots is no mistake.
    loss(2 * images - 1, images)
