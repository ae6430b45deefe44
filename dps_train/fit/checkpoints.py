"""Checkpoints of a training: weights and optimizer in one safetensors file, without a pickle.

The file's metadata holds as JSON the number of steps done, the plan of the training (so that no
other training is resumed by mistake), and the state of mixed precision's loss scale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dps_infer.errors import DpsError
from dps_infer.files.write import atomic_file
from dps_train.model.backbone.weights import load_strictly, read_weights

FORMAT = 1
KEY = "dps.checkpoint"
WEIGHTS, OPTIMIZER = "weights.", "optimizer."

Plan = Mapping[str, str | int | float | bool]
"""Settings that identify a training, by name."""


class CheckpointError(DpsError):
    """A checkpoint that cannot be read, or belongs to another training."""


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of a training is kept, and the plan that it follows."""

    path: Path
    plan: Plan


class TrainingState(nn.Module):
    """What a training changes besides its optimizer: modules, and the state of its generator."""

    generator: Tensor

    def __init__(self, generator: torch.Generator, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._generator = generator
        self.register_buffer("generator", generator.get_state())

    def save(self, checkpoint: Checkpoint, optimizer: Optimizer, steps: int) -> None:
        """Replace the checkpoint; see `save_checkpoint`."""
        self.generator.copy_(self._generator.get_state())
        save_checkpoint(
            checkpoint.path, self, optimizer, checkpoint.plan, steps=steps, precision={}
        )

    def load(self, checkpoint: Checkpoint, optimizer: Optimizer) -> int:
        """Continue from a checkpoint, if there is one, and return the number of steps done.

        Raises:
            WeightsError, CheckpointError: see `load_checkpoint`.
        """
        if not checkpoint.path.exists():
            return 0
        steps, _ = load_checkpoint(checkpoint.path, self, optimizer, checkpoint.plan)
        self._generator.set_state(self.generator)
        return steps


def save_checkpoint(
    path: Path,
    module: nn.Module,
    optimizer: Optimizer,
    plan: Plan,
    *,
    steps: int,
    precision: Mapping[str, float],
) -> None:
    """Replace the checkpoint; if the process is killed, the previous one stays.

    Args:
        path: the file.
        module: its weights are saved.
        optimizer: its state is saved.
        plan: identifies the training.
        steps: number of steps done.
        precision: state of mixed precision, such as the scale of the loss.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {f"{WEIGHTS}{key}": value for key, value in module.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"{OPTIMIZER}{number}.{key}": value for key, value in state.items()}
    about = {
        "format": FORMAT,
        "steps": steps,
        "precision": dict(precision),
        "plan": dict(plan),
    }
    with atomic_file(path, force=True) as temporary:
        safetensors.torch.save_file(
            {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
            temporary,
            metadata={KEY: json.dumps(about, sort_keys=True)},
        )


def load_checkpoint(
    path: Path, module: nn.Module, optimizer: Optimizer, plan: Plan
) -> tuple[int, dict[str, float]]:
    """Load a checkpoint into a module and its optimizer.

    Returns:
        The number of steps done, and the state of mixed precision.

    Raises:
        WeightsError: the file cannot be read, or does not fit the module.
        CheckpointError: the file is not a checkpoint, or belongs to a training of another plan.
    """
    tensors = read_weights(path)
    with safetensors.safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(KEY)
    if text is None:
        raise CheckpointError(f"{path} is not a checkpoint: name another, or delete it")
    about = json.loads(text)
    _check_plan(path, about["plan"] | {"format": about["format"]}, {**plan, "format": FORMAT})
    load_strictly(module, _part(tensors, WEIGHTS), origin=str(path))
    # The optimizer's own format, but the settings of its groups come from the plan.
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, OPTIMIZER).items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    return about["steps"], about["precision"]


def saved_weights(path: Path) -> dict[str, Tensor]:
    """Return a checkpoint's weights by their names in the module.

    Raises:
        WeightsError: the file cannot be read.
    """
    return _part(read_weights(path), WEIGHTS)


def _check_plan(path: Path, saved: Plan, asked: Plan) -> None:
    differences = [
        f"{name} {saved.get(name)} instead of {asked.get(name)}"
        for name in sorted({*saved, *asked})
        if saved.get(name) != asked.get(name)
    ]
    if differences:
        raise CheckpointError(
            f"{path} belongs to another training ({', '.join(differences)}): ask for the same "
            "one, or delete the file to start again"
        )


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
