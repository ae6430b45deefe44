"""Checkpoints of a training: weights and optimizer in one safetensors file, without a pickle.

The file's metadata holds, as JSON, how many steps are done, what the training is (so that
no other one is taken up by mistake), and the state of mixed precision's loss scale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dps_infer.errors import DpsError
from dps_infer.files.write import atomic_file
from dps_train.model.weights import load_strictly, read_weights

FORMAT = 1
KEY = "dps.checkpoint"
WEIGHTS, OPTIMIZER = "weights.", "optimizer."

Plan = Mapping[str, str | int | float | bool]
"""What a training is: settings by name."""


class CheckpointError(DpsError):
    """A checkpoint that cannot be read, or is of another training."""


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        steps: done.
        precision: state of mixed precision, such as the scale of the loss.
    """

    steps: int
    precision: dict[str, float]


def save_checkpoint(
    path: Path, module: nn.Module, optimizer: Optimizer, progress: Progress, plan: Plan
) -> None:
    """Write a checkpoint in the place of the one before; a killed one leaves that as it was.

    Raises:
        OutputError: it cannot be written.
    """
    tensors = {f"{WEIGHTS}{key}": value for key, value in module.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"{OPTIMIZER}{number}.{key}": value for key, value in state.items()}
    about = {
        "format": FORMAT,
        "steps": progress.steps,
        "precision": progress.precision,
        "plan": dict(plan),
    }
    with atomic_file(path, force=True) as temporary:
        safetensors.torch.save_file(
            {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
            temporary,
            metadata={KEY: json.dumps(about, sort_keys=True)},
        )


def load_checkpoint(path: Path, module: nn.Module, optimizer: Optimizer, plan: Plan) -> Progress:
    """Load a checkpoint into a module and its optimizer.

    Raises:
        WeightsError: it cannot be read, or does not fit the module.
        CheckpointError: it is no checkpoint, or of a training by another plan.
    """
    tensors = read_weights(path)
    with safetensors.safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(KEY)
    if text is None:
        raise CheckpointError(f"{path} is no checkpoint of a training: name another, or delete it")
    about = json.loads(text)
    _check_plan(path, about["plan"] | {"format": about["format"]}, {**plan, "format": FORMAT})
    load_strictly(module, _part(tensors, WEIGHTS), origin=str(path))
    # The optimizer's own format, but for the settings of its groups: those are the plan's.
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, OPTIMIZER).items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    return Progress(about["steps"], about["precision"])


def saved_weights(path: Path) -> dict[str, Tensor]:
    """Return a checkpoint's weights by their names in the module.

    Raises:
        WeightsError: it cannot be read.
    """
    return _part(read_weights(path), WEIGHTS)


def _check_plan(path: Path, begun: Plan, asked: Plan) -> None:
    differences = [
        f"{name} {begun.get(name)} instead of {asked.get(name)}"
        for name in sorted({*begun, *asked})
        if begun.get(name) != asked.get(name)
    ]
    if differences:
        raise CheckpointError(
            f"{path} is of another training ({', '.join(differences)}): ask for the same one, "
            "or delete it to begin anew"
        )


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
