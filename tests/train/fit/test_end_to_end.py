"""Training a network with its scalars: the parts that learn, and resuming after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor
from train_helpers import random_backbone, seeded

from dps_infer.contexts.context import Context, importance_context, ranking_context
from dps_infer.contexts.ranking import parse_ranking
from dps_infer.errors import DeviceError, DpsError, OutputError, UsageError
from dps_train.distortions.paper import NAMES
from dps_train.fit.checkpoints import CheckpointError
from dps_train.fit.end_to_end.batches import Batch, Batches, ranking_batches, triplet_batch
from dps_train.fit.end_to_end.torchrun import STARTED, Launch, check_launch, torchrun_launch
from dps_train.fit.end_to_end.train import CHECKPOINT, DivergedError, Rates, train_end_to_end
from dps_train.fit.settings import Settings
from dps_train.model.backbone.weights import WeightsError, state_sha256
from dps_train.model.comparisons import Comparison
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric, Preprocess

SIZE = 32
WITH_BATCH_NORM = ("resnet18", ("relu", "layer1"))
OTHER_OPTIONS = {"data", "rates", "every", "log"}


def metric(name: str = "embedded", layers: tuple[str, ...] | None = None) -> Metric:
    backbone = random_backbone(name, layers)
    comparison = Comparison("spatial")
    maps = backbone(torch.zeros(1, 3, SIZE, SIZE))
    head = ScalarHead(comparison(maps, maps).shape[1])
    return Metric(Preprocess(SIZE), backbone, comparison, head).eval()


def context(text: str) -> Context:
    return ranking_context(parse_ranking(text, NAMES), NAMES)


def noisy(step: int, count: int = 6) -> Batch:
    """Triplets in which a difference in red counts less than one in blue."""
    generator = seeded(step)
    reference = torch.randint(256, (count, 3, SIZE, SIZE), generator=generator).float() / 255
    red, blue = reference.clone(), reference.clone()
    red[:, 0], blue[:, 2] = 0.5, 0.5
    return triplet_batch(reference, blue, red, torch.ones(count))


def distances(of: Metric, batch: Batch) -> list[Tensor]:
    reference, *candidates = (
        (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        for images in (batch.reference, *batch.candidates.unbind(1))
    )
    with torch.no_grad():
        return [of(reference, candidate)[0] for candidate in candidates]


def fit(of: Metric, batches: Batches = noisy, *, batch_norm: bool = False, **options) -> Metric:
    others = {name: options.pop(name) for name in OTHER_OPTIONS & options.keys()}
    variant = "scratch" if batch_norm else "tune"
    settings = Settings(variant=variant, **{"steps": 2, "device": "cpu", **options})
    train_end_to_end(of, batches, settings, **others)
    return of


# --- trained and frozen parts ---------------------------------------------------------


@pytest.mark.parametrize("objective", ["pairwise", "judge"])
def test_distances_come_to_follow_the_judgements(objective):
    trained = metric()
    unseen = noisy(1000, 40)
    blue, red = distances(trained, unseen)
    before = (red < blue).float().mean()
    fit(trained, steps=60, objective=objective)
    blue, red = distances(trained, unseen)
    assert (red < blue).float().mean() > max(0.9, float(before))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_statistics_are_learned_only_by_a_network_that_starts_from_scratch(batch_norm):
    trained = metric(*WITH_BATCH_NORM)
    before = {key: value.clone() for key, value in trained.backbone.state_dict().items()}
    fit(trained, batch_norm=batch_norm)
    after = trained.backbone.state_dict()
    statistics = [key for key in after if "running" in key or "num_batches" in key]
    assert statistics
    for key in statistics:
        assert torch.equal(before[key], after[key]) == (not batch_norm), key
    weights = [key for key, _ in trained.backbone.named_parameters()]
    assert not any(torch.equal(before[key], after[key]) for key in weights)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_trained_metric_is_frozen(batch_norm):
    trained = fit(metric(*WITH_BATCH_NORM), batch_norm=batch_norm)
    assert not any(parameter.requires_grad for parameter in trained.backbone.parameters())
    assert not any(module.training for module in trained.modules())
    before = state_sha256(trained.backbone)
    trained.train()
    trained.maps(torch.rand(2, 3, SIZE, SIZE))
    assert state_sha256(trained.backbone) == before


def test_weights_stop_at_0():
    trained = fit(metric(), steps=8, rates=Rates(head=0.5))
    assert trained.head.weights.min() == 0
    assert trained.head.weights.max() > 1


def test_mixed_precision_trains_too():
    trained, exact, begun = (metric() for _ in range(3))
    fit(trained, precision="bf16-mixed")
    fit(exact)
    weights = trained.head.weights
    assert weights.dtype == torch.float32
    assert not torch.equal(weights, exact.head.weights)
    assert not torch.equal(weights, begun.head.weights)
    # A feature's rounding turns the sign of few of Adam's first steps.
    assert ((weights - exact.head.weights).abs() < 1e-3).float().mean() > 0.8


def test_several_processes_share_a_batch(tmp_path):
    alone, shared = (metric() for _ in range(2))
    fit(alone, steps=1)
    fit(shared, steps=1, devices=2)
    # `pairwise` is relative to the mean distance of each process's share, by a hundredth.
    torch.testing.assert_close(shared.head.weights, alone.head.weights, rtol=0, atol=2e-3)


IN_TORCHRUN = """
import sys
sys.path[:0] = sys.argv[2:]
import torch
from test_end_to_end import fit, metric
from dps_train.fit.end_to_end.torchrun import FollowerDoneError
trained = metric()
try:
    fit(trained, steps=1)
except FollowerDoneError:
    sys.exit()
torch.save(trained.head.weights, sys.argv[1])
"""


def test_processes_of_torchrun_share_a_batch(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(IN_TORCHRUN, encoding="utf-8")
    here = Path(__file__).parent
    options = ["--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", *options, script),
            *(tmp_path / "weights.pt", here, here.parent),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alone = metric()
    fit(alone, steps=1)
    weights = torch.load(tmp_path / "weights.pt")
    torch.testing.assert_close(weights, alone.head.weights, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("end_to_end", "devices", "message"),
    [(True, 1, None), (True, 4, None), (True, 2, "started 4 processes"), (False, 1, "scratch")],
)
def test_options_that_do_not_go_with_torchrun(monkeypatch, end_to_end, devices, message):
    check_launch(end_to_end=False, devices=3)
    for name, value in ((STARTED, "x"), ("LOCAL_WORLD_SIZE", "2"), ("WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert torchrun_launch() == Launch(machines=2, each=2)
    if message is None:
        check_launch(end_to_end=end_to_end, devices=devices)
        return
    with pytest.raises(UsageError, match=message):
        check_launch(end_to_end=end_to_end, devices=devices)


# --- batches --------------------------------------------------------------------------


def leaves() -> tuple:
    generator = seeded(6)
    return tuple(
        torch.randint(256, (40, 50, 3), generator=generator, dtype=torch.uint8).numpy()
        for _ in range(3)
    )


def test_a_batch_depends_on_seed_and_step_only():
    batches = ranking_batches(leaves(), context("3,1,5"), size=SIZE, seed=1)
    later = batches(7)
    batches(8)
    again = batches(7)
    assert torch.equal(later.candidates, again.candidates)
    for other in (batches(8), ranking_batches(leaves(), context("3,1,5"), size=SIZE, seed=2)(7)):
        assert not torch.equal(later.candidates, other.candidates)


def test_a_ranking_judges_its_pairs():
    batch = ranking_batches(leaves(), context("5,0=4,2"), size=SIZE, seed=1)(0)
    assert batch.candidates.shape[1] == 4
    kinds = [0, 2, 4, 5]
    judged = {
        (kinds[first], kinds[second]): judge
        for (first, second), judge in zip(
            batch.pairs.tolist(), batch.judge[0].tolist(), strict=True
        )
    }
    assert judged == {(0, 2): 0.0, (0, 5): 1.0, (2, 4): 1.0, (2, 5): 1.0, (4, 5): 1.0}
    darkened = batch.candidates[:, 1].mean(dim=(1, 2, 3)) / batch.reference.mean(dim=(1, 2, 3))
    assert darkened.max() < 0.55


def test_a_context_without_pairs_teaches_nothing():
    with pytest.raises(UsageError, match="orders no two"):
        ranking_batches(
            leaves(), importance_context(dict.fromkeys(NAMES, 1.0), NAMES), size=SIZE, seed=1
        )


# --- checkpoints ----------------------------------------------------------------------

KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(int(sys.argv[2]))
from pathlib import Path
from test_end_to_end import fit, metric, noisy
def batches(step):
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return noisy(step)
fit(metric(), batches, steps=8, every=3, objective="judge", checkpoint=Path(sys.argv[1]))
"""


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path):
    here = Path(__file__).parent
    folders = [str(here), str(here.parent), *sys.path]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(torch.get_num_threads())],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    asked: list[int] = []

    def batches(step: int) -> Batch:
        asked.append(step)
        return noisy(step)

    settings = {"steps": 8, "every": 3, "objective": "judge"}
    resumed = fit(metric(), batches, checkpoint=tmp_path, resume=True, **settings)
    assert asked == [3, 4, 5, 6, 7]
    assert state_sha256(resumed) == state_sha256(fit(metric(), **settings))


def test_a_finished_training_is_taken_as_it_is(tmp_path):
    trained = fit(metric(), checkpoint=tmp_path)
    again = fit(metric(), refuse, checkpoint=tmp_path, resume=True)
    assert state_sha256(again) == state_sha256(trained)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def refuse(step: int) -> Batch:
    raise AssertionError(f"step {step} was done already")


def test_a_checkpoint_is_not_overwritten_unasked(tmp_path):
    fit(metric(), checkpoint=tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(OutputError, match="--resume"):
        fit(metric(), checkpoint=tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"seed": 1}, "seed 0 instead of 1"), ({"steps": 5}, "steps 2 instead of 5"),
     ({"data": "others"}, "data .* instead of others"),
     ({"rates": Rates(head=0.5)}, "head rate 0.01 instead of 0.5")],
)  # fmt: skip
def test_a_checkpoint_of_another_training_is_refused(tmp_path, settings, message):
    fit(metric(), checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match=message):
        fit(metric(), checkpoint=tmp_path, resume=True, **settings)


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def not_a_checkpoint(path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.ones(1)}, path)


@pytest.mark.parametrize(
    ("change", "error"), [(spoil, WeightsError), (not_a_checkpoint, CheckpointError)]
)
def test_a_spoilt_checkpoint_is_refused(tmp_path, change: Callable, error: type[DpsError]):
    fit(metric(), checkpoint=tmp_path)
    change(tmp_path / CHECKPOINT)
    with pytest.raises(error, match=CHECKPOINT):
        fit(metric(), checkpoint=tmp_path, resume=True)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    fit(metric(), checkpoint=tmp_path)
    with pytest.raises(WeightsError, match="does not fit"):
        fit(metric(*WITH_BATCH_NORM), checkpoint=tmp_path, resume=True)


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [({"precision": "8"}, UsageError, "'8'.*32-true, bf16-mixed, 16-mixed"),
     ({"precision": "16-mixed"}, UsageError, "needs a GPU"),
     ({"objective": "hinge"}, UsageError, "'hinge'"),
     ({"rates": Rates(backbone=1e30), "steps": 5}, DivergedError, "learning rate")],
)  # fmt: skip
def test_what_cannot_be_trained(settings, error, message):
    with pytest.raises(error, match=message):
        fit(metric(), **settings)


def test_more_gpus_than_there_are(monkeypatch):
    untrained = metric()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match=r"2 GPUs.* finds 1"):
        fit(untrained, device="cuda", devices=2)


def test_the_course_is_logged():
    logged: list[tuple[int, dict[str, float]]] = []
    fit(metric(), steps=20, log=lambda step, values: logged.append((step, values)))
    assert [step for step, _ in logged] == [10, 20]
    for _, values in logged:
        assert set(values) == {"loss", "score", "rate"}
        assert 0 <= values["score"] <= 1
    assert logged[1][1]["rate"] == pytest.approx(0.1)
