"""Folding batch normalization and halving parameters: smaller, and the same function."""

from __future__ import annotations

import copy

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from train_helpers import random_pretraining, seeded

from dps_train.model.embedded.embedded_backbone import EmbeddedNetwork, block
from dps_train.pretrain.fold_batch_norm import fold_convolutions, fold_inputs, half_state

# The products of weights and gains are rounded once more than before.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def with_statistics(module: nn.Module, seed: int) -> nn.Module:
    """Give every batch normalization random statistics and gains."""
    generator = seeded(seed)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.running_mean.normal_(0, 1, generator=generator)
                part.running_var.uniform_(0.3, 3, generator=generator)
                part.weight.normal_(0, 1, generator=generator)
                part.bias.normal_(0, 1, generator=generator)
    return module.eval()


def normalizations(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in module.modules())


@settings(max_examples=20)
@given(st.integers(0, 2**32))
@torch.no_grad()
def test_folded_convolutions_are_the_same_function(seed):
    network = with_statistics(
        nn.Sequential(
            block(3, 5, stride=2, batch_norm=True),
            nn.Sequential(block(5, 4, batch_norm=True), block(4, 6, kernel=1, batch_norm=True)),
        ),
        seed,
    )
    images = torch.randn(2, 3, 12, 10, generator=seeded(seed))
    before = network(images)
    # A network whose rectifiers are all closed would pass whatever folding does.
    assume(before.std() > 0)
    fold_convolutions(network)
    assert normalizations(network) == 0
    torch.testing.assert_close(network(images), before, **CLOSE)


@torch.no_grad()
def test_the_folded_embedded_network_has_the_parameters_of_the_one_that_is_used():
    network = with_statistics(EmbeddedNetwork(batch_norm=True), 1)
    images = torch.randn(2, 3, 64, 64, generator=seeded())
    before = network(images)
    fold_convolutions(network)
    used = EmbeddedNetwork().eval()
    used.load_state_dict(network.state_dict())
    for name, maps in used(images).items():
        # Four stages follow each other, with gains of up to 3 each.
        scale = float(before[name].abs().max())
        torch.testing.assert_close(maps, before[name], rtol=1e-5, atol=1e-5 * max(1, scale))


@torch.no_grad()
def test_what_is_not_normalized_is_left_alone():
    plain = nn.Sequential(block(3, 4), nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4)))
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    fold_convolutions(plain)
    assert before.keys() == plain.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())


@settings(max_examples=20)
@given(st.integers(0, 2**32))
@torch.no_grad()
def test_folded_inputs_are_the_same_function(seed):
    layers = with_statistics(nn.Sequential(nn.BatchNorm1d(9), nn.Linear(9, 7)), seed)
    values = 3 * torch.randn(5, 9, generator=seeded(seed))
    before = layers(values)
    normalization, linear = layers
    fold_inputs(normalization, linear)
    torch.testing.assert_close(linear(values), before, **CLOSE)


@torch.no_grad()
def test_half_parameters_and_whole_buffers():
    module = nn.Sequential(nn.Linear(40, 30), nn.BatchNorm1d(30))
    with_statistics(module, 2)
    module[1].running_mean.fill_(1 / 3)
    state = half_state(module)
    assert state.keys() == module.state_dict().keys()
    for name, parameter in module.named_parameters():
        assert state[name].dtype == torch.float16
        # Eleven bits of precision.
        torch.testing.assert_close(state[name].float(), parameter.data, rtol=2**-11, atol=1e-7)
        # Storing again changes nothing.
        assert torch.equal(state[name].float().half(), state[name])
    for name, buffer in module.named_buffers():
        assert state[name].dtype == buffer.dtype
        assert torch.equal(state[name], buffer)
    assert all(value.is_contiguous() for value in state.values())


def test_halving_changes_nothing_in_the_module():
    model = random_pretraining()
    before = copy.deepcopy(model.state_dict())
    half_state(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
