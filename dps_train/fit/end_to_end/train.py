"""Training a network and its scalars together, for one context: `tune` and `scratch`.

As the paper's authors do (Pihlgren et al. 2024): Adam with their schedule, weights of the
head clamped to >= 0 after each step. A pretrained network keeps its BatchNorm statistics; a
random one learns them. Without dropout, as in `dps_train.fit.lin`.

Everything random depends on the seed and the number of the step alone, so on one CPU a
training that was killed and resumed ends with the same weights, bit for bit.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessRaisedException

from dps_infer.errors import DeviceError, DpsError, OutputError, UsageError
from dps_infer.progress import track
from dps_train.devices import pick_device
from dps_train.fit.end_to_end.checkpoints import (
    Plan,
    Progress,
    load_checkpoint,
    save_checkpoint,
    saved_weights,
)
from dps_train.fit.objectives import (
    BETAS,
    PAIRWISE,
    Objective,
    agreement,
    exchange,
    make_objective,
    rate_factor,
)
from dps_train.fit.triplet_batches import Batch, Batches
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for

if TYPE_CHECKING:
    from lightning.fabric import Fabric

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
"""As Lightning Fabric names them."""

CHECKPOINT = "checkpoint.safetensors"
"""In the folder of checkpoints."""

STEPS_PER_CHECKPOINT = 100
STEPS_PER_LOG = 10

Log = Callable[[int, dict[str, float]], None]
"""Is told of a step, counted from 1, and its figures. Several processes: it must be picklable."""


@dataclass(frozen=True)
class Rates:
    """Learning rates, before the schedule.

    Attributes:
        head: of the scalars.
        backbone: of the network.
        objective: of its own parameters.
    """

    head: float = 1e-2
    backbone: float = 1e-3
    objective: float = 1e-3


RATES = Rates()


class DivergedError(DpsError):
    """A training whose loss is no number any more."""


class ProcessError(DpsError):
    """One of several processes that train together ended with an error."""


def train_end_to_end(
    metric: Metric,
    batches: Batches,
    *,
    steps: int,
    objective: str = PAIRWISE,
    seed: int = 0,
    batch_norm: bool = False,
    rates: Rates = RATES,
    device: str = "auto",
    devices: int = 1,
    precision: str = PRECISIONS[0],
    data: str = "",
    checkpoint: Path | None = None,
    every: int = STEPS_PER_CHECKPOINT,
    resume: bool = False,
    log: Log | None = None,
) -> None:
    """Train a metric's backbone and head, in place; on return it is frozen and on the CPU.

    Args:
        metric: with a `ScalarHead`.
        batches: of each step.
        steps: of Adam.
        objective: one of `dps_train.fit.objectives.OBJECTIVES`.
        seed: of the order of candidates, and of a judge network's initial weights.
        batch_norm: whether BatchNorm learns its statistics, as a random network must.
        rates: learning rates.
        device: ``auto``, ``cpu`` or ``cuda``.
        devices: how many processes, with a GPU each on ``cuda``, share a batch.
        precision: one of `PRECISIONS`; in the mixed ones the network alone is less precise.
        data: says what the batches are drawn from, such as a hash; a checkpoint of a
            training on other data is refused.
        checkpoint: folder to keep a checkpoint in; None keeps none.
        every: steps between checkpoints; there is one at the end as well.
        resume: go on from the checkpoint, if there is one yet.
        log: is told the loss, the batch's 2AFC score and the learning rate's factor every
            `STEPS_PER_LOG` steps.

    Raises:
        UsageError: an unknown objective or precision, or a batch too small to share.
        DeviceError: there are not so many devices.
        OutputError: there is a checkpoint, and `resume` is off; or none can be written.
        CheckpointError: the checkpoint is of another training.
        DivergedError: the loss is no number any more.
        ProcessError: of several processes, one failed.
    """
    fabric = _fabric(device, devices, precision)
    plan = {
        "steps": steps,
        "objective": objective,
        "seed": seed,
        "batch_norm": batch_norm,
        "precision": precision,
        "devices": devices,
        "data": data,
        **{f"{name} rate": rate for name, rate in dataclasses.asdict(rates).items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = (checkpoint or Path(folder)) / CHECKPOINT
        if path.exists() and not resume:
            raise OutputError(
                f"{path} is there from a training before: --resume goes on with it; delete it "
                "to begin anew"
            )
        train = functools.partial(
            _train, batches=batches, rates=rates, plan=plan, path=path, every=every, log=log
        )
        # Weights that several processes are given must be an argument of their own: Fabric
        # takes these out of shared memory.
        try:
            fabric.launch(train, metric)
        except ProcessRaisedException as error:
            said = str(error).rstrip().splitlines()[-1]
            raise ProcessError(f"one of {devices} training processes failed: {said}") from error
        # Several processes trained copies; what is on disk is the same in any case.
        trained = _Learner(metric.cpu(), _objective(plan))
        trained.load_state_dict(saved_weights(path))
    metric.backbone.freeze()
    metric.eval()


class _Learner(nn.Module):
    """All that learns, as one module: that is what several processes keep equal.

    Args:
        metric: whose backbone and head learn.
        objective: for one context.
    """

    def __init__(self, metric: Metric, objective: Objective) -> None:
        super().__init__()
        self.metric = metric
        self.objective = objective

    def forward(
        self,
        reference: Tensor,
        candidates: Tensor,
        pairs: Tensor,
        judge: Tensor,
        exchanged: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the loss, and the 2AFC score of the batch.

        Args:
            reference: uint8 RGB [N, 3, H, W]; Fabric would make floats half precise.
            candidates: uint8 [N, C, 3, H, W].
            pairs: see `Batch`.
            judge: see `Batch`.
            exchanged: bool, which triplets are turned round [N * P].
        """
        metric = self.metric
        count, kinds = candidates.shape[:2]
        images = torch.cat([reference, candidates.flatten(0, 1)]).float() / 255
        maps = metric.backbone(metric.preprocess.normalize(images))
        # Distances are differences of features that are nearly equal: those in full precision.
        with torch.autocast(images.device.type, enabled=False):
            maps = metric.comparison.normalized([layer.float() for layer in maps])
            z = metric.comparison(
                [layer[:count].repeat_interleave(kinds, dim=0) for layer in maps],
                [layer[count:] for layer in maps],
            )
            distances = metric.head(z).unflatten(0, (count, kinds))
            triplets = exchange(
                distances[:, pairs[:, 0]].flatten()[None],
                distances[:, pairs[:, 1]].flatten()[None],
                judge.float().flatten()[None],
                exchanged,
            )
            counted = torch.ones_like(triplets[0], dtype=torch.bool)
            return self.objective(*triplets, counted), agreement(*triplets, counted)[0]


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
    """Train in this process, one of several or the only one, up to the last checkpoint."""
    metric.backbone.unfreeze(batch_norm=bool(plan["batch_norm"]))
    head = metric.head
    assert isinstance(head, ScalarHead), "other heads do not learn a context"
    learner = _Learner(metric, _objective(plan))
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
        progress = load_checkpoint(path, learner, adam, plan)
        done = progress.steps
        fabric.strategy.precision.load_state_dict(progress.precision)
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
            state = Progress(step + 1, dict(fabric.strategy.precision.state_dict()))
            save_checkpoint(path, learner, adam, state, plan)


def _share(fabric: Fabric, batch: Batch, step: int, seed: int) -> list[Tensor]:
    """Return this process's part of a batch, on its device, as `_Learner` takes it."""
    if len(batch.reference) < fabric.world_size:
        raise UsageError(
            f"a batch of {len(batch.reference)} cannot be shared by {fabric.world_size} devices: "
            "ask for fewer --devices"
        )
    generator = generator_for(f"exchanged {step}", seed)
    exchanged = torch.rand(batch.judge.shape, generator=generator) < 0.5
    own = slice(fabric.global_rank, None, fabric.world_size)
    levels = [
        (images[own] * 255).round().to(torch.uint8)
        for images in (batch.reference, batch.candidates)
    ]
    parts = [*levels, batch.pairs, batch.judge[own], exchanged[own].flatten()]
    return [part.to(fabric.device) for part in parts]


def _objective(plan: Plan) -> Objective:
    return make_objective(str(plan["objective"]), 1, generator_for("objective", int(plan["seed"])))


def _fabric(device: str, devices: int, precision: str) -> Fabric:
    if precision not in PRECISIONS:
        raise UsageError(
            f"unknown precision {precision!r}: expected one of {', '.join(PRECISIONS)}"
        )
    accelerator = pick_device(device).type
    if accelerator == "cpu" and precision == "16-mixed":
        raise UsageError("precision 16-mixed needs a GPU: take bf16-mixed")
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise DeviceError(
            f"{devices} GPUs were asked for, and PyTorch finds {torch.cuda.device_count()}: ask "
            "for fewer --devices"
        )
    # Lightning takes seconds to import, which other variants need not wait for.
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    # Of a network cut at its layers, what comes after the last one gets no gradient.
    strategy = DDPStrategy(start_method="spawn", find_unused_parameters=True)
    return Fabric(
        accelerator=accelerator,
        devices=devices,
        precision=precision,  # type: ignore[arg-type]  # a string of its literals
        strategy=strategy if devices > 1 else "auto",
    )
