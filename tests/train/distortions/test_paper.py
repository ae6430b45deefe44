"""The six distortions are torchvision's, image by image."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF
from train_helpers import levels, seeded

from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import DISTORTIONS, NAMES

NEAREST = InterpolationMode.NEAREST
BY_NAME = {distortion.name: distortion for distortion in DISTORTIONS}

# Blur: sums in another order. Color: torchvision computes hue in float32 whatever the image;
# between 1 and 2 it is rounded twice to steps of 1.2e-7, and 6 times as much shows in a channel.
ABSOLUTE = {"color": 1.5e-6, "blur": 1e-6}


def reference(name: str, image: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """The result of torchvision for one image [3, H, W]."""
    height, width = image.shape[-2:]
    first = float(parameters[0])
    straight = {"angle": 0.0, "shear": [0.0, 0.0], "interpolation": NEAREST}
    if name == "rotate":
        return TF.rotate(image, first, interpolation=NEAREST)
    if name == "translate":
        pixels = [round(first * width), round(float(parameters[1]) * height)]
        return TF.affine(image, translate=pixels, scale=1.0, **straight)
    if name == "darken":
        return TF.adjust_brightness(image, first)
    if name == "color":
        return TF.adjust_hue(image, first)
    if name == "blur":
        return TF.gaussian_blur(image, kernel_size=[11, 21], sigma=[first, first])
    return TF.affine(image, translate=[0, 0], scale=first, **straight)


def assert_as_torchvision(
    distortion: Distortion, images: torch.Tensor, parameters: torch.Tensor
) -> None:
    before = images.clone(), parameters.clone()
    changed = distortion.apply(images, parameters)
    assert torch.equal(images, before[0])
    assert torch.equal(parameters, before[1])
    assert changed.dtype == images.dtype
    assert changed.shape == images.shape
    expected = torch.stack(
        [reference(distortion.name, *pair) for pair in zip(images, parameters, strict=True)]
    )
    tolerance = ABSOLUTE.get(distortion.name, 0)
    torch.testing.assert_close(changed, expected, rtol=0, atol=tolerance)
    assert changed.min() >= 0
    assert changed.max() <= 1 + tolerance


def each(*names: str):
    chosen = [d for d in DISTORTIONS if not names or d.name in names]
    return pytest.mark.parametrize("distortion", chosen, ids=lambda d: d.name)


def test_names_and_numbers_are_the_papers():
    assert NAMES == ("rotate", "translate", "darken", "color", "blur", "zoom")
    assert tuple(distortion.name for distortion in DISTORTIONS) == NAMES


# --- effects --------------------------------------------------------------------------


@each()
@pytest.mark.parametrize("size", [(64, 64), (32, 48), (41, 23), (65, 128), (11, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_to_torchvision(distortion, size, dtype):
    images = levels(8, *size).to(dtype)
    assert_as_torchvision(distortion, images, distortion.sample(8, seeded()))


@each()
@settings(max_examples=25)
@given(st.integers(11, 70), st.integers(6, 70), st.integers(0, 2**32))
def test_equal_to_torchvision_at_any_size_and_draw(distortion, height, width, seed):
    images = levels(4, height, width, seed)
    assert_as_torchvision(distortion, images, distortion.sample(4, seeded(seed)))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("rotate", [[0.0], [90.0], [180.0], [270.0], [45.0], [360.0]]),
        ("translate", [[0.0, 0.0], [0.5, -0.5], [1.0, 0.0], [-1.0, 1.0], [0.0, 1 / 64]]),
        ("darken", [[0.0], [1.0], [0.5], [1e-3], [0.999], [0.1]]),
        ("color", [[-0.5], [0.5], [0.0], [1 / 3], [-1 / 6], [1e-3]]),
        ("zoom", [[1.0], [2.0], [1.001], [1.5], [4.0], [1.1]]),
    ],
)
def test_special_parameters(name, parameters):
    images = levels(len(parameters), 64, 64)
    assert_as_torchvision(BY_NAME[name], images, torch.tensor(parameters))


def test_closed_forms():
    image = levels(2, 16, 16)[1:]
    quarter = BY_NAME["rotate"].apply(image, torch.tensor([[90.0]]))
    assert torch.equal(quarter, image.rot90(1, dims=(2, 3)))
    shifted = BY_NAME["translate"].apply(image, torch.tensor([[0.25, -0.5]]))
    assert torch.equal(shifted[:, :, :8, 4:], image[:, :, 8:, :12])
    assert shifted[:, :, 8:].count_nonzero() == 0
    assert shifted[:, :, :, :4].count_nonzero() == 0
    red = torch.zeros(1, 3, 2, 2)
    red[:, 0] = 0.8
    turned = BY_NAME["color"].apply(red.expand(2, -1, -1, -1), torch.tensor([[1 / 3], [0.5]]))
    expected = torch.tensor([[0.0, 0.8, 0.0], [0.0, 0.8, 0.8]])[:, :, None, None]
    torch.testing.assert_close(turned, expected.expand(2, 3, 2, 2), rtol=0, atol=1e-6)
    flat = torch.full((1, 3, 20, 20), 0.3)
    torch.testing.assert_close(
        BY_NAME["blur"].apply(flat, torch.tensor([[7.0]])), flat, rtol=0, atol=1e-6
    )
    zoomed = BY_NAME["zoom"].apply(image, torch.tensor([[2.0]]))
    expected = image[:, :, 4:12, 4:12].repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(zoomed, expected)


@each()
def test_each_image_has_its_own_parameters(distortion):
    images = levels(6, 32, 32)
    parameters = distortion.sample(6, seeded())
    together = distortion.apply(images, parameters)
    for number in range(6):
        alone = distortion.apply(images[number : number + 1], parameters[number : number + 1])
        atol = ABSOLUTE.get(distortion.name, 0)
        torch.testing.assert_close(together[number : number + 1], alone, rtol=0, atol=atol)


@each()
def test_one_image_seen_many_times(distortion):
    # An expanded tensor has no memory of its own for each image.
    image = levels(1, 32, 32)
    parameters = distortion.sample(3, seeded())
    expected = distortion.apply(image.repeat(3, 1, 1, 1), parameters)
    assert torch.equal(distortion.apply(image.expand(3, -1, -1, -1), parameters), expected)


@each()
def test_a_wrong_number_of_parameters(distortion):
    with pytest.raises(ValueError, match="expected 3 parameters, one per image, got 2"):
        distortion.apply(levels(3, 16, 16), distortion.sample(2, seeded()))


# --- draws ----------------------------------------------------------------------------


@each()
@given(st.integers(0, 50), st.integers(0, 2**32))
def test_parameters_are_in_range_and_reproducible(distortion, count, seed):
    low, high = distortion.range
    parameters = distortion.sample(count, seeded(seed))
    assert parameters.shape == (count, distortion.columns)
    assert torch.all((parameters >= low) & (parameters <= high))
    assert torch.equal(parameters, distortion.sample(count, seeded(seed)))


@each()
def test_draws_fill_the_range_evenly(distortion):
    low, high = distortion.range
    places = (distortion.sample(4000, seeded()) - low) / (high - low)
    # Four standard errors of the mean of 4000 uniform numbers.
    assert torch.allclose(places.mean(dim=0), torch.tensor(0.5), atol=4 * (1 / 12 / 4000) ** 0.5)
    assert places.min() < 0.01
    assert places.max() > 0.99
    assert len(places.unique()) > 3900


def test_sampling_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    for distortion in DISTORTIONS:
        distortion.sample(4, seeded())
    assert torch.equal(torch.get_rng_state(), before)


# --- how strong it is -----------------------------------------------------------------


@each()
@given(share=st.floats(0, 1), direction=st.floats(0, 1, exclude_max=True, width=32))
def test_strength_of_parameters_made_for_a_strength(distortion, share, direction):
    strength = torch.tensor([share * distortion.limit])
    parameters = distortion.with_strength(strength, torch.tensor([direction]))
    assert parameters.shape == (1, distortion.columns)
    # Angles are kept modulo 360 in float32, steps of 3e-5 there; factors near 1 in 1e-7.
    tolerance = 5e-5 if distortion.name == "rotate" else 5e-7
    got = distortion.strength(parameters)
    torch.testing.assert_close(got, strength, rtol=1e-6, atol=tolerance)


@each()
def test_strengths_of_draws_are_within_the_limit(distortion):
    strengths = distortion.strength(distortion.sample(500, seeded()))
    assert strengths.min() >= 0
    # A shift may go to the corner, farther than to an edge.
    reach = distortion.limit * (2**0.5 if distortion.columns == 2 else 1)
    assert strengths.max() <= reach * (1 + 1e-6)


@each()
def test_amount_is_0_at_no_strength_1_at_the_reference_and_rises(distortion):
    def amount(strength: torch.Tensor) -> torch.Tensor:
        direction = torch.full_like(strength, 0.7)
        return distortion.amount(distortion.with_strength(strength, direction))

    ends = amount(torch.tensor([0.0, distortion.reference]))
    # For translate the cosine and sine of the direction round the length.
    torch.testing.assert_close(ends, torch.tensor([0.0, 1.0]), rtol=1e-6, atol=1e-6)
    assert ends[0] == 0
    assert torch.all(amount(torch.linspace(0, distortion.limit, 50)).diff() > 0)


@each("rotate", "translate", "darken", "color", "zoom")
def test_no_strength_changes_nothing(distortion):
    images = levels(8, 40, 30)
    directions = torch.linspace(0, 0.9, 8)
    parameters = distortion.with_strength(torch.zeros(8), directions)
    changed = distortion.apply(images, parameters)
    torch.testing.assert_close(changed, images, rtol=0, atol=ABSOLUTE.get(distortion.name, 0))


def test_a_blur_of_no_strength_changes_nothing():
    images = levels(4, 30, 40)
    parameters = BY_NAME["blur"].with_strength(torch.zeros(4), torch.zeros(4))
    assert torch.equal(BY_NAME["blur"].apply(images, parameters), images)
