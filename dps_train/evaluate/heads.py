"""The heads of a network side by side, or a context file alone, on the same held-out images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dps_infer.contexts.context import Context
from dps_infer.errors import UsageError
from dps_train.bank.bank import FeatureDistances, metric_distances
from dps_train.data.crops import TRAINING_SIZE
from dps_train.data.sources import Images
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import DISTORTIONS
from dps_train.evaluate.context_file import FileMetric
from dps_train.evaluate.target import Subject
from dps_train.fit.lin import draw_lin_bank, fit_lin
from dps_train.fit.settings import LIN
from dps_train.measure.evaluation import Measures, evaluate, evaluate_adapted
from dps_train.measure.evaluation_bank import build_evaluation_bank
from dps_train.model.comparisons import Comparison
from dps_train.model.context_heads import scalars_in_contexts, unadapted_in_contexts
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for

UNIFORM = "uniform"


def chosen_heads(text: str | None, subject: Subject, train_data: str | None) -> tuple[str, ...]:
    """Return the heads that are asked for, each once, in the order they were named.

    Args:
        text: names joined by commas; None takes the metric's own.
        subject: the metric.
        train_data: what `lin` is to be trained on.

    Raises:
        UsageError: an unknown head, a head of a context file, or `lin` without training data.
    """
    if text is None:
        return (subject.head,)
    if not isinstance(subject.metric, Metric):
        raise UsageError(f"--heads is for runs: the head of {subject.name} is frozen into it")
    asked = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    known = tuple(dict.fromkeys((UNIFORM, LIN, subject.head)))
    for head in asked:
        if head not in known:
            raise UsageError(f"--heads names {head!r}: expected some of {','.join(known)}")
    if LIN in asked and subject.head != LIN and train_data is None:
        raise UsageError("--heads lin trains a head: say on what, --train-data FOLDER or sample")
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

    The metric's own and `UNIFORM` read the metric's own comparison; `LIN`, unless that is
    its own, is trained here, on the `spatial` comparison of the same backbone, as in the
    paper. All see the same changes of the same images.

    Args:
        metric: whose backbone and head are used.
        heads: of `own`, `UNIFORM` and `LIN`.
        images: held out, [M, 3, size, size] in [0, 1].
        contexts: to measure in.
        own: what the metric's own head is called.
        training: what to train `lin` on; needed for it alone.
        seed: of everything random.
        device: where the network runs.
        distortions: of the images, that the contexts are of.

    Returns:
        The measures by head, in the order asked for.
    """
    metric.head.cpu()
    distances = metric_distances(metric, device)
    bank = build_evaluation_bank(
        distances, images, generator_for("evaluation", seed), distortions=distortions
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
            measures[head] = _measure_lin(
                metric, images, contexts, training, seed, device, distortions
            )
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


def _measure_lin(
    metric: Metric,
    images: Tensor,
    contexts: Sequence[Context],
    training: Images,
    seed: int,
    device: torch.device,
    distortions: Sequence[Distortion],
) -> Measures:
    distances = FeatureDistances(metric.preprocess, metric.backbone, lin_comparison(), device)
    weights = lin_weights(metric, contexts, training, seed, device, distortions)
    bank = build_evaluation_bank(
        distances, images, generator_for("evaluation", seed), distortions=distortions
    )
    return evaluate_adapted(scalars_in_contexts(weights), bank, contexts)


def lin_comparison() -> Comparison:
    """Return the comparison that `lin` weighs, as in the paper."""
    return Comparison("spatial", channel_norm=True)


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
        Weights [R, D] >= 0 of the channel distances of `lin_comparison`.
    """
    distances = FeatureDistances(metric.preprocess, metric.backbone, lin_comparison(), device)
    generator = generator_for(LIN, seed)
    size = metric.preprocess.size or TRAINING_SIZE
    z = draw_lin_bank(
        distances, training.images, size=size, generator=generator, distortions=distortions
    )
    return fit_lin(z, contexts, generator=generator)
