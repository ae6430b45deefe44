"""One training on scores that people gave to pairs, from start to end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from dps_infer.model.manifest import DataInfo, JudgementsInfo
from dps_infer.runtime.device import Device
from dps_train.agreement.distances import Measure, Pixels, measure_pairs
from dps_train.agreement.importances import fit_to_scores
from dps_train.agreement.scores.read import read_scores
from dps_train.agreement.scores.scored_pairs import Floats, ScoredPairs
from dps_train.custom.custom_distortion import split_custom
from dps_train.devices import pick_device
from dps_train.evaluate.pair_target import load_pair_target
from dps_train.evaluate.target import EMBEDDED
from dps_train.fit.from_judgements import describe_fitted
from dps_train.fit.initial_metric import initial_metric
from dps_train.fit.settings import Settings
from dps_train.fit.train_variant import train_additive
from dps_train.fit.training import Trained, load_images
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for


def train_on_scores(
    settings: Settings, name: str, note: Callable[[str], None] = lambda _: None
) -> Trained:
    """Fit the importances of the embedded metric to scores, and measure how far they agree.

    Amounts are those that the exported file reports. With custom distortions, which no file knows
    yet, PyTorch computes them.

    Args:
        settings: of the training: the additive variant, from the embedded metric.
        name: of the metric, for its manifest.
        note: called with one line about the training of custom distortions.

    Raises:
        DpsError: the scores, their images or the device are missing or not valid.
    """
    assert settings.scores is not None
    device = pick_device(settings.device)
    pairs = read_scores(settings.scores, higher_is_better=settings.higher_is_better)
    metric = initial_metric(settings)
    custom, custom_held_out = split_custom(settings.custom, settings.seed)
    if custom:
        images_to_change, _ = load_images(settings)
        settings = dataclasses.replace(settings, custom=custom)
        train_additive(metric, settings, images_to_change, device, note)
    head = metric.head
    amounts = _amounts(metric, head.names, pairs, device, exported=not custom)
    fitted, agreement = fit_to_scores(
        amounts, pairs, head.names, generator_for("folds", settings.seed)
    )
    head.cpu().set_importances(dict(zip(head.names, fitted.importances, strict=True)))
    references = list(dict.fromkeys(pairs.references))
    data = DataInfo(source=pairs.source, images=len(references), sha256=pairs.sha256())
    judgements = JudgementsInfo(
        source=pairs.source, triplets=agreement.triplets, sha256=pairs.sha256()
    )
    return describe_fitted(
        metric,
        settings,
        name,
        agreement,
        judgements,
        training_data=data,
        held_out_data=data,
        references=references,
        custom=custom_held_out,
    )


def _amounts(
    metric: Metric,
    names: tuple[str, ...],
    pairs: ScoredPairs,
    device: torch.device,
    *,
    exported: bool,
) -> Tensor:
    """Return the amounts of each pair [N, A]."""
    metric.to(device).eval()
    target = load_pair_target(EMBEDDED, device=Device(device.type)) if exported else None

    @torch.no_grad()
    def distances(reference: Pixels, candidates: Sequence[Pixels]) -> Floats:
        if target is not None:
            (measured,) = target.measure(reference, candidates, [dict.fromkeys(names, 1.0)])
            assert measured.amounts is not None, "the embedded metric reports amounts"
            assert measured.sizes is not None, "and the size"
            return np.vstack([measured.amounts.T, measured.sizes])
        first = torch.from_numpy(reference[None]).to(device)
        rows = [
            metric(first, torch.from_numpy(one[None]).to(device))[1][0].double().cpu().numpy()
            for one in candidates
        ]
        return np.stack(rows, axis=1)

    found = measure_pairs(pairs, [Measure(names, distances)])
    return torch.from_numpy(np.stack([found[name] for name in names], axis=1))
