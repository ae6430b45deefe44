"""Measure heads of one network side by side, or a context file, on the same changes of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dps_infer.contexts.context import Context
from dps_infer.errors import UsageError
from dps_train.data.crops import TRAINING_SIZE
from dps_train.data.sources import Images
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import DISTORTIONS
from dps_train.evaluate.context_file import FileMetric
from dps_train.evaluate.target import Target
from dps_train.fit.lin import draw_lin_bank, fit_lin
from dps_train.fit.settings import LIN
from dps_train.measure.evaluation import Measures, evaluate, evaluate_adapted
from dps_train.measure.evaluation_bank import build_evaluation_bank
from dps_train.model.comparisons import Comparison
from dps_train.model.context_heads import scalars_in_contexts, unadapted_in_contexts
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for

UNIFORM = "uniform"


def chosen_heads(text: str | None, target: Target, train_data: str | None) -> tuple[str, ...]:
    """Return the heads to measure, without duplicates, in their order.

    Args:
        text: names joined by commas; None takes the metric's own head.
        target: the metric.
        train_data: images to train `lin` on.

    Raises:
        UsageError: a head is unknown, the target is a context file, or `lin` has no training
            data.
    """
    if text is None:
        return (target.head,)
    if not isinstance(target.metric, Metric):
        raise UsageError(f"--heads is for runs: the head of {target.name} is frozen into it")
    asked = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    known = tuple(dict.fromkeys((UNIFORM, LIN, target.head)))
    for head in asked:
        if head not in known:
            raise UsageError(f"--heads names {head!r}: expected some of {','.join(known)}")
    if LIN in asked and target.head != LIN and train_data is None:
        raise UsageError(
            "--heads lin trains a head: name its images with --train-data, FOLDER or sample"
        )
    return asked


def measure_heads(
    metric: Metric,
    heads: Sequence[str],
    images: Tensor,
    contexts: Sequence[Context],
    *,
    own: str,
    training: Images | None,
    seed: int,
    device: torch.device,
    distortions: Sequence[Distortion] = DISTORTIONS,
) -> dict[str, Measures]:
    """Measure heads on one backbone, each adapted to every context.

    The metric's own head and `UNIFORM` use the metric's comparison. `LIN`, unless that is the own
    head, is trained here, on the `spatial` comparison of the same backbone, as in the paper. All
    are measured on the same changes of the same images.

    Args:
        metric: the metric whose backbone and head are used.
        heads: some of `own`, `UNIFORM` and `LIN`.
        images: held-out images [M, 3, size, size] in [0, 1].
        contexts: the contexts to measure in.
        own: name of the metric's own head.
        training: images to train `lin` on; needed only for it.
        seed: of everything random.
        device: where the network runs.
        distortions: the distortions of the contexts.

    Returns:
        The measures by head, in the order of `heads`.
    """
    metric.head.cpu()
    generator = generator_for("evaluation", seed)
    bank = build_evaluation_bank(
        FeatureDistances(metric, device), images, generator, distortions=distortions
    )
    measures = {}
    for head in heads:
        if head == own:
            measures[head] = evaluate(metric.head, bank, contexts)
        elif head == UNIFORM:
            unadapted = unadapted_in_contexts(metric.head, contexts)
            measures[head] = evaluate_adapted(unadapted, bank, contexts)
        else:
            if training is None:
                raise ValueError("lin is trained per context: expected images to train it on")
            weights = lin_weights(metric, contexts, training, seed, device, distortions)
            generator = generator_for("evaluation", seed)
            lin_bank = build_evaluation_bank(
                lin_distances(metric, device), images, generator, distortions=distortions
            )
            measures[head] = evaluate_adapted(scalars_in_contexts(weights), lin_bank, contexts)
    return measures


def measure_file(
    metric: FileMetric,
    images: Tensor,
    contexts: Sequence[Context],
    seed: int,
    distortions: Sequence[Distortion] = DISTORTIONS,
) -> Measures:
    """Measure a context file on the same changes; see `measure_heads` for the arguments."""
    generator = generator_for("evaluation", seed)
    bank = build_evaluation_bank(
        metric, images, generator, faint_noise=False, distortions=distortions
    )
    return evaluate_adapted(metric.adapted(contexts), bank, contexts)


def lin_comparison() -> Comparison:
    """Return the comparison of `lin`, as in the paper."""
    return Comparison("spatial", channel_norm=True)


def lin_distances(metric: Metric, device: torch.device) -> FeatureDistances:
    """Return the channel distances of `lin` on a metric's backbone."""
    plain = Metric(metric.preprocess, metric.backbone, lin_comparison(), ScalarHead(0))
    return FeatureDistances(plain, device)


def lin_weights(
    metric: Metric,
    contexts: Sequence[Context],
    training: Images,
    seed: int,
    device: torch.device,
    distortions: Sequence[Distortion] = DISTORTIONS,
) -> Tensor:
    """Train `lin` for each context on a metric's backbone; see `measure_heads`.

    Returns:
        Weights [R, D] >= 0 of the channel distances of `lin_distances`.
    """
    generator = generator_for(LIN, seed)
    z = draw_lin_bank(
        lin_distances(metric, device),
        training.images,
        size=metric.preprocess.size or TRAINING_SIZE,
        generator=generator,
        distortions=distortions,
    )
    return fit_lin(z, contexts, generator=generator)
