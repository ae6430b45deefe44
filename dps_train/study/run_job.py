"""Train and measure the metrics of a study that share a network's features.

The images of a repetition are drawn, changed and compared once per network and comparison. Variants
that do not train the network start from there. Each metric is fitted and measured separately:
fitting several together changes the last digits, and the results of a study must not depend on
where it was interrupted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import safetensors.torch
import torch
from torch import Tensor, nn

from dps_infer.files.write import atomic_file
from dps_train.data.crops import TRAINING_SIZE
from dps_train.data.sources import Images
from dps_train.fit.initial_metric import initial_metric
from dps_train.fit.lin import EPOCHS, draw_lin_bank, fit_lin
from dps_train.fit.settings import BASELINE, LIN, Settings
from dps_train.fit.train_variant import train_variant
from dps_train.fit.training import evaluation_bank, evaluation_images
from dps_train.judgements.bapps import Bapps
from dps_train.judgements.head_scores import BappsDistances, bapps_distances
from dps_train.judgements.scoring import BappsScores
from dps_train.measure.evaluation import Measures, evaluate_adapted
from dps_train.measure.evaluation_bank import EvaluationBank
from dps_train.model.backbone.weights import load_strictly, read_weights
from dps_train.model.context_heads import (
    AdaptedHead,
    head_in_contexts,
    scalars_in_contexts,
    unadapted_in_contexts,
)
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.heads import Head
from dps_train.model.metric import Metric
from dps_train.model.names import ADDITIVE
from dps_train.seeds import generator_for
from dps_train.study.extra_images import ExtraDistances, ExtraImages
from dps_train.study.folder import StudyFolder
from dps_train.study.plan import Job


@dataclass(frozen=True)
class JobResult:
    """The measures of a metric beside those of the unadapted one.

    Attributes:
        comparison: name of the metric's comparison.
        measures: on held-out images.
        baseline: score of the unadapted metric, which weighs all channels of the pretrained
            network equally.
        bapps: agreement with BAPPS, if it was scored.
        baseline_bapps: the unadapted metric's agreement with BAPPS.
        extra: further columns; see `ExtraDistances.columns`.
    """

    comparison: str
    measures: Measures
    baseline: float
    bapps: BappsScores | None
    baseline_bapps: BappsScores | None
    extra: dict[str, float]


@dataclass(frozen=True)
class _Distances:
    """Channel distances of the images that metrics are measured on.

    Attributes:
        comparison: name of the comparison.
        held_out: of held-out images to changes of them.
        bapps: of the images of BAPPS, if it is scored.
        extra: of scored pairs and ladders.
    """

    comparison: str
    held_out: EvaluationBank
    bapps: BappsDistances | None
    extra: ExtraDistances

    def mapped(self, function: Callable[[Tensor], Tensor]) -> _Distances:
        """Return the distances with `function` applied to every tensor [..., D]."""
        bapps = None if self.bapps is None else self.bapps.mapped(function)
        held_out, extra = self.held_out.mapped(function), self.extra.mapped(function)
        return _Distances(self.comparison, held_out, bapps, extra)

    def bapps_scores(self, distance: Callable[[Tensor], Tensor]) -> BappsScores | None:
        """Score a distance of channel distances on BAPPS, if it is scored."""
        return None if self.bapps is None else self.bapps.scores(distance)


class JobRunner:
    """Train and measure the jobs of one network, comparison and repetition.

    Args:
        settings: of one of the jobs.
        training: images to train on.
        held_out: images to measure on.
        bapps: judgements to score on.
        extra: scored pairs and photographs to measure on.
        folder: stores heads that several jobs share, and checkpoints.
        device: where networks run.
    """

    def __init__(
        self,
        settings: Settings,
        training: Images,
        held_out: Images,
        bapps: Bapps | None,
        extra: ExtraImages,
        folder: StudyFolder,
        device: torch.device,
    ) -> None:
        self._settings = dataclasses.replace(settings, variant=BASELINE)
        self._training = training
        self._held_out = held_out
        self._bapps = bapps
        self._extra = extra
        self._folder = folder
        self._device = device
        self._additive: tuple[Head, _Distances] | None = None

    def run(self, job: Job) -> JobResult:
        """Train and measure a metric.

        Raises:
            DpsError: its data, network or checkpoint are missing or not valid.
        """
        adapted, distances = self._train(job)
        measures = evaluate_adapted(adapted, distances.held_out, [job.context])
        unadapted, initial, before = adapted, distances, measures
        if job.settings.end_to_end:
            # The network has changed: the baseline is the initial one.
            unadapted = unadapted_in_contexts(self._metric.head, [job.context])
            initial = self._distances
            before = evaluate_adapted(unadapted, initial.held_out, [job.context])
        assert before.baseline is not None, "rankings of a study order distortions"
        assert unadapted.total is not None, "every head of a study has an unadapted distance"

        def distance(z: Tensor) -> Tensor:
            return adapted.columns(z) @ adapted.weights[0]

        return JobResult(
            distances.comparison,
            measures,
            before.baseline.mean,
            distances.bapps_scores(distance),
            initial.bapps_scores(unadapted.total),
            {
                **distances.extra.columns(distance),
                **initial.extra.columns(unadapted.total, "baseline."),
            },
        )

    def _train(self, job: Job) -> tuple[AdaptedHead, _Distances]:
        """Return a head in the job's context, and the distances to measure it on."""
        variant, contexts = job.settings.variant, [job.context]
        if variant == BASELINE:
            return unadapted_in_contexts(self._metric.head, contexts), self._distances
        if variant == LIN:
            return scalars_in_contexts(self._train_lin(job)), self._distances
        if variant == ADDITIVE:
            head, read = self._train_additive(job)
            weights = head_in_contexts(head, contexts).weights
            adapted = AdaptedHead(lambda z: z[..., :-1], weights, lambda z: z[..., -1], head.names)
            return adapted, read
        metric = self._train_end_to_end(job)
        return head_in_contexts(metric.head, contexts), self._compare(metric)

    @cached_property
    def _metric(self) -> Metric:
        """The unadapted metric."""
        return initial_metric(self._settings)

    @cached_property
    def _distances(self) -> _Distances:
        return self._compare(self._metric)

    @cached_property
    def _lin_draws(self) -> tuple[Tensor, Tensor]:
        """The channel distances to fit linear heads to, and the generator's state after them."""
        generator = generator_for(LIN, self._settings.seed)
        z = draw_lin_bank(
            FeatureDistances(self._metric, self._device),
            self._training.images,
            size=self._settings.size or TRAINING_SIZE,
            generator=generator,
        )
        return z, generator.get_state()

    def _train_lin(self, job: Job) -> Tensor:
        z, state = self._lin_draws
        generator = torch.Generator()
        generator.set_state(state)
        return fit_lin(
            z,
            [job.context],
            generator=generator,
            objective=job.settings.objective,
            epochs=job.settings.epochs or EPOCHS,
        )

    def _train_additive(self, job: Job) -> tuple[Head, _Distances]:
        """Return the head of all rankings, and its amounts and totals in place of distances."""
        if self._additive is None:
            metric = initial_metric(job.settings)
            head = metric.head
            # What compares the maps may have a head of its own, for cells.
            trained = nn.ModuleDict({"comparison": metric.comparison, "head": head})
            path = self._folder.head(job.features_id)
            if path.exists():
                load_strictly(trained, read_weights(path), origin=str(path))
            else:
                train_variant(metric, job.settings, job.context, self._training, self._device)
                with atomic_file(path, force=True) as temporary:
                    # `save_file` writes to another file first, which a kill would leave behind.
                    temporary.write_bytes(safetensors.torch.save(trained.state_dict()))

            def read(z: Tensor) -> Tensor:
                return torch.cat([head.amounts(z), head.total(z)[..., None]], dim=-1)

            columns = AdaptedHead(read, torch.empty(0), head.total).columns
            with torch.no_grad():
                self._additive = head, self._compare(metric).mapped(columns)
        return self._additive

    def _train_end_to_end(self, job: Job) -> Metric:
        settings = dataclasses.replace(
            job.settings,
            checkpoint=self._folder.checkpoint(job.id),
            resume=True,
            logs=self._folder.logs(job.id),
        )
        metric = initial_metric(settings)
        train_variant(metric, settings, job.context, self._training, self._device)
        return metric

    def _compare(self, metric: Metric) -> _Distances:
        images = evaluation_images(metric, self._held_out)
        held_out = evaluation_bank(metric, images, self._settings.seed, self._device)
        bapps = None if self._bapps is None else bapps_distances(metric, self._bapps, self._device)
        extra = self._extra.compared(metric, self._device)
        return _Distances(metric.comparison.name, held_out, bapps, extra)
