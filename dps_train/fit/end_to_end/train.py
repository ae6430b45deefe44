"""Train a network and its scalars together, for one context: `tune` and `scratch`.

As in the authors' code (Pihlgren et al. 2024): Adam with their schedule, weights of the head
clamped to >= 0 after each step. A pretrained network keeps its BatchNorm statistics; a random one
learns them. There is no dropout, as in `dps_train.fit.lin`.

Everything random depends only on the seed and the number of the step, so on one CPU a training
that was killed and resumed ends with the same weights, bit for bit.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessRaisedException

from dps_infer.errors import DeviceError, DpsError, OutputError, UsageError
from dps_infer.progress import track
from dps_train.devices import pick_device
from dps_train.fit.checkpoints import (
    Plan,
    load_checkpoint,
    save_checkpoint,
    saved_weights,
)
from dps_train.fit.end_to_end.batches import Batch, Batches
from dps_train.fit.end_to_end.learner import Learner
from dps_train.fit.end_to_end.torchrun import FollowerDoneError, Launch, torchrun_launch
from dps_train.fit.objectives import BETAS, Objective, make_objective, rate_factor
from dps_train.fit.settings import PRECISIONS, SCRATCH, Settings
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for

if TYPE_CHECKING:
    from lightning.fabric import Fabric

CHECKPOINT = "checkpoint.safetensors"
"""The file in the folder of checkpoints."""

STEPS_PER_CHECKPOINT = 100
STEPS_PER_LOG = 10

Log = Callable[[int, dict[str, float]], None]
"""Called with the number of a step, counted from 1, and its figures. It must be picklable, since
several processes hold copies."""


@dataclass(frozen=True)
class Rates:
    """Initial learning rates.

    Attributes:
        head: of the scalars.
        backbone: of the network.
        objective: of the objective's own parameters.
    """

    head: float = 1e-2
    backbone: float = 1e-3
    objective: float = 1e-3


RATES = Rates()


class DivergedError(DpsError):
    """The loss of a training became infinite or NaN."""


class ProcessError(DpsError):
    """One of several training processes ended with an error."""


def train_end_to_end(
    metric: Metric,
    batches: Batches,
    settings: Settings,
    *,
    data: str = "",
    rates: Rates = RATES,
    every: int = STEPS_PER_CHECKPOINT,
    log: Log | None = None,
) -> None:
    """Train a metric's backbone and head, in place; on return it is frozen and on the CPU.

    Args:
        metric: with a `ScalarHead`.
        batches: the batch of each step.
        settings: of the training. The mixed precisions affect only the network.
        data: identifies the data of the batches, for example by a hash; a checkpoint of a
            training on other data is refused.
        rates: initial learning rates.
        every: steps between checkpoints; the last step always writes one.
        log: called every `STEPS_PER_LOG` steps with the loss, the batch's 2AFC score and the
            factor of the learning rate.

    Raises:
        UsageError: the objective or precision is unknown, or a batch is too small to share.
        DeviceError: there are fewer devices than asked for.
        OutputError: a checkpoint exists and is not to be resumed, or it cannot be written.
        CheckpointError: the checkpoint belongs to another training.
        DivergedError: the loss became infinite or NaN.
        ProcessError: one of several processes failed.
        FollowerDoneError: in all processes of torchrun but the first, once the training is done.
    """
    launch = torchrun_launch()
    fabric = _fabric(settings.device, settings.devices, settings.precision, launch)
    plan = {
        "steps": settings.steps,
        "objective": settings.objective,
        "seed": settings.seed,
        "batch_norm": settings.variant == SCRATCH,
        "precision": settings.precision,
        "devices": settings.devices if launch is None else launch.processes,
        "data": data,
        **{f"{name} rate": rate for name, rate in dataclasses.asdict(rates).items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = (settings.checkpoint or Path(folder)) / CHECKPOINT
        if path.exists() and not settings.resume:
            raise OutputError(
                f"{path} is left from an earlier training: continue it with --resume, or delete "
                "the file to start again"
            )
        train = functools.partial(
            _train, batches=batches, rates=rates, plan=plan, path=path, every=every, log=log
        )
        # The metric is a positional argument because Fabric moves only those out of the memory
        # that the processes share.
        try:
            fabric.launch(train, metric)
        except ProcessRaisedException as error:
            last_line = str(error).rstrip().splitlines()[-1]
            raise ProcessError(
                f"one of {settings.devices} training processes failed: {last_line}"
            ) from error
        if fabric.global_rank > 0:
            raise FollowerDoneError
        # Several processes trained copies of the metric. The checkpoint is right in every case.
        trained = Learner(metric.cpu(), _objective(plan))
        trained.load_state_dict(saved_weights(path))
    metric.backbone.freeze()
    metric.eval()


def _train(
    fabric: Fabric,
    metric: Metric,
    *,
    batches: Batches,
    rates: Rates,
    plan: Plan,
    path: Path,
    every: int,
    log: Log | None,
) -> None:
    """Train in one process up to the last checkpoint."""
    metric.backbone.unfreeze(batch_norm=bool(plan["batch_norm"]))
    head = metric.head
    assert isinstance(head, ScalarHead), "other heads do not learn a context"
    learner = Learner(metric, _objective(plan))
    parts = (
        (head, rates.head),
        (metric.backbone, rates.backbone),
        (learner.objective, rates.objective),
    )
    adam = torch.optim.Adam(
        [{"params": list(part.parameters()), "lr": rate} for part, rate in parts], betas=BETAS
    )
    model, optimizer = fabric.setup(learner, adam)
    done = 0
    if path.exists():
        done, scale = load_checkpoint(path, learner, adam, plan)
        fabric.strategy.precision.load_state_dict(scale)
    steps = range(done, int(plan["steps"]))
    for step in track(steps, "end to end") if fabric.is_global_zero else steps:
        factor = rate_factor(step, steps.stop)
        for group, (_, rate) in zip(adam.param_groups, parts, strict=True):
            group["lr"] = rate * factor
        loss, score = model(*_share(fabric, batches(step), step, int(plan["seed"])))
        fabric.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        head.clamp()
        if not fabric.is_global_zero:
            continue
        if not loss.isfinite():
            raise DivergedError(
                f"the loss is {loss.item()} after {step} steps: give a lower learning rate, or "
                f"--precision {PRECISIONS[0]}"
            )
        if log is not None and (step + 1) % STEPS_PER_LOG == 0:
            log(step + 1, {"loss": loss.item(), "score": score.item(), "rate": factor})
        if (step + 1) % every == 0 or step + 1 == steps.stop:
            scale = fabric.strategy.precision.state_dict()
            save_checkpoint(path, learner, adam, plan, steps=step + 1, precision=scale)


def _share(fabric: Fabric, batch: Batch, step: int, seed: int) -> list[Tensor]:
    """Return this process's share of a batch, on its device, as the arguments of `Learner`."""
    if len(batch.reference) < fabric.world_size:
        raise UsageError(
            f"a batch of {len(batch.reference)} cannot be shared by {fabric.world_size} devices: "
            "ask for fewer --devices"
        )
    generator = generator_for(f"exchanged {step}", seed)
    exchanged = torch.rand(batch.judge.shape, generator=generator) < 0.5
    rows = slice(fabric.global_rank, None, fabric.world_size)
    levels = [
        (images[rows] * 255).round().to(torch.uint8)
        for images in (batch.reference, batch.candidates)
    ]
    parts = [*levels, batch.pairs, batch.judge[rows], exchanged[rows].flatten()]
    return [part.to(fabric.device) for part in parts]


def _objective(plan: Plan) -> Objective:
    return make_objective(str(plan["objective"]), 1, generator_for("objective", int(plan["seed"])))


def _fabric(device: str, devices: int, precision: str, launch: Launch | None) -> Fabric:
    if precision not in PRECISIONS:
        raise UsageError(
            f"unknown precision {precision!r}: expected one of {', '.join(PRECISIONS)}"
        )
    accelerator = pick_device(device).type
    devices = devices if launch is None else launch.each
    if accelerator == "cpu" and precision == "16-mixed":
        raise UsageError("precision 16-mixed needs a GPU: take bf16-mixed")
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise DeviceError(
            f"{devices} GPUs were asked for, but PyTorch finds {torch.cuda.device_count()}: ask "
            "for fewer --devices"
        )
    # Lightning takes seconds to import, so other variants do not import it.
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    # The layers of a network after its last compared one get no gradient.
    # Processes of torchrun are there already: `popen` starts none then.
    start: Literal["spawn", "popen"] = "spawn" if launch is None else "popen"
    strategy = DDPStrategy(start_method=start, find_unused_parameters=True)
    return Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=1 if launch is None else launch.machines,
        precision=precision,
        strategy="auto" if launch is None and devices == 1 else strategy,
    )
