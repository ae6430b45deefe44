"""Training and measuring the metrics of a family, which share what can be shared.

The images of a repetition are drawn, changed and compared once by each network and
comparison; what does not train the network starts from there. Each metric is fitted and
measured alone: several together differ in their last digits from one, and what a study
finds must not depend on where it was interrupted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import safetensors.torch
import torch
from torch import Tensor

from dps_infer.files.write import atomic_file
from dps_train.bank.bank import FeatureDistances
from dps_train.contexts import importance_table
from dps_train.data.crops import TRAINING_SIZE
from dps_train.data.sources import Images
from dps_train.fit.initial_metric import starting_metric
from dps_train.fit.lin import EPOCHS, draw_lin_bank, fit_one_lin
from dps_train.fit.settings import BASELINE, END_TO_END, LIN, Settings
from dps_train.fit.training import evaluation_bank, evaluation_images
from dps_train.fit.variants import fit_variant
from dps_train.judgements.bapps import Bapps
from dps_train.judgements.head_scores import BappsDistances, bapps_distances
from dps_train.judgements.scoring import BappsScores
from dps_train.measure.evaluation import Measures, evaluate_adapted
from dps_train.measure.evaluation_bank import EvaluationBank
from dps_train.model.context_heads import (
    AdaptedHead,
    head_in_contexts,
    scalars_in_contexts,
    unadapted_in_contexts,
)
from dps_train.model.description import ADDITIVE
from dps_train.model.heads import Head
from dps_train.model.metric import Metric
from dps_train.model.weights import load_strictly, read_weights
from dps_train.seeds import generator_for
from dps_train.study.folder import StudyFolder
from dps_train.study.plan import Job


@dataclass(frozen=True)
class Measured:
    """What a metric is worth.

    Attributes:
        comparison: the name of the comparison that it makes.
        measures: on held-out images.
        baseline: the score of the unadapted metric: all channels of the pretrained network
            count alike.
        people: agreement with human judgements, where there are some.
        baseline_people: of the unadapted metric.
    """

    comparison: str
    measures: Measures
    baseline: float
    people: BappsScores | None
    baseline_people: BappsScores | None


@dataclass(frozen=True)
class _Compared:
    """The images that metrics are measured on, as a network compares them.

    Attributes:
        comparison: its name.
        held_out: changes of held-out images.
        judged: images of human judgements, where there are some.
    """

    comparison: str
    held_out: EvaluationBank
    judged: BappsDistances | None

    def mapped(self, function: Callable[[Tensor], Tensor]) -> _Compared:
        """Return the same with every tensor [..., D] replaced by what `function` makes of it."""
        judged = None if self.judged is None else self.judged.mapped(function)
        return _Compared(self.comparison, self.held_out.mapped(function), judged)

    def people(self, distance: Callable[[Tensor], Tensor]) -> BappsScores | None:
        """Score a distance of channel distances on human judgements, where there are some."""
        return None if self.judged is None else self.judged.scores(distance)


class Bench:
    """What the metrics of one family share: one network, comparison and repetition.

    Args:
        settings: of one of them.
        training: images to train on.
        held_out: images to measure on.
        bapps: human judgements to score on.
        folder: for heads that several metrics share, and checkpoints.
        device: where networks run.
    """

    def __init__(
        self,
        settings: Settings,
        training: Images,
        held_out: Images,
        bapps: Bapps | None,
        folder: StudyFolder,
        device: torch.device,
    ) -> None:
        self._settings = dataclasses.replace(settings, variant=BASELINE)
        self._training = training
        self._held_out = held_out
        self._bapps = bapps
        self._folder = folder
        self._device = device
        self._shared: tuple[Head, _Compared] | None = None

    def measure(self, job: Job) -> Measured:
        """Train a metric and measure it.

        Raises:
            DpsError: its data, network or checkpoint cannot be had or used.
        """
        adapted, compared = self._trained(job)
        measures = evaluate_adapted(adapted, compared.held_out, [job.context])
        uniform, unadapted, before = adapted, compared, measures
        if job.settings.variant in END_TO_END:
            uniform = unadapted_in_contexts(self._metric.head, [job.context])
            unadapted = self._compared
            before = evaluate_adapted(uniform, unadapted.held_out, [job.context])
        assert before.baseline is not None, "rankings of a study order distortions"
        assert uniform.total is not None, "every head of a study has an unadapted distance"
        return Measured(
            compared.comparison,
            measures,
            before.baseline.mean,
            compared.people(lambda z: adapted.columns(z) @ adapted.weights[0]),
            unadapted.people(uniform.total),
        )

    def _trained(self, job: Job) -> tuple[AdaptedHead, _Compared]:
        """Return an adapted head, and what it is measured on."""
        variant, contexts = job.settings.variant, [job.context]
        if variant == BASELINE:
            return unadapted_in_contexts(self._metric.head, contexts), self._compared
        if variant == LIN:
            return scalars_in_contexts(self._fit_lin(job)[None]), self._compared
        if variant == ADDITIVE:
            head, read = self._additive(job)
            weights = importance_table(contexts)
            adapted = AdaptedHead(lambda z: z[..., :-1], weights, lambda z: z[..., -1], head.names)
            return adapted, read
        metric = self._fit_end_to_end(job)
        return head_in_contexts(metric.head, contexts), self._compare(metric)

    @cached_property
    def _metric(self) -> Metric:
        """The unadapted metric."""
        return starting_metric(self._settings)

    @cached_property
    def _compared(self) -> _Compared:
        return self._compare(self._metric)

    @cached_property
    def _lin_draws(self) -> tuple[Tensor, Tensor]:
        """Channel distances to fit linear heads to, and the state of the generator after them."""
        metric = self._metric
        distances = FeatureDistances(
            metric.preprocess, metric.backbone, metric.comparison, self._device
        )
        generator = generator_for(LIN, self._settings.seed)
        size = self._settings.size or TRAINING_SIZE
        z = draw_lin_bank(distances, self._training.images, size=size, generator=generator)
        return z, generator.get_state()

    def _fit_lin(self, job: Job) -> Tensor:
        z, state = self._lin_draws
        generator = torch.Generator()
        generator.set_state(state)
        settings = job.settings
        return fit_one_lin(
            z,
            job.context,
            generator=generator,
            objective=settings.objective,
            epochs=settings.epochs or EPOCHS,
        )

    def _additive(self, job: Job) -> tuple[Head, _Compared]:
        """Return the head of all rankings, and what it reads of the images."""
        if self._shared is None:
            metric = self._fit_additive(job)
            head = metric.head

            def read(z: Tensor) -> Tensor:
                return torch.cat([head.amounts(z), head.total(z)[..., None]], dim=-1)

            columns = AdaptedHead(read, torch.empty(0), head.total).columns
            with torch.no_grad():
                self._shared = head, self._compare(metric).mapped(columns)
        return self._shared

    def _fit_additive(self, job: Job) -> Metric:
        metric = starting_metric(job.settings)
        path = self._folder.head(job.family)
        if path.exists():
            load_strictly(metric.head, read_weights(path), origin=str(path))
            return metric
        fit_variant(metric, job.settings, job.context, self._training, self._device, _ignore)
        with atomic_file(path, force=True) as temporary:
            safetensors.torch.save_file(metric.head.state_dict(), temporary)
        return metric

    def _fit_end_to_end(self, job: Job) -> Metric:
        settings = dataclasses.replace(
            job.settings,
            checkpoint=self._folder.checkpoint(job.id),
            resume=True,
            logs=self._folder.logs(job.id),
        )
        metric = starting_metric(settings)
        fit_variant(metric, settings, job.context, self._training, self._device, _ignore)
        return metric

    def _compare(self, metric: Metric) -> _Compared:
        images = evaluation_images(metric, self._held_out)
        held_out = evaluation_bank(metric, images, self._settings.seed, self._device)
        judged = None if self._bapps is None else bapps_distances(metric, self._bapps, self._device)
        return _Compared(metric.comparison.name, held_out, judged)


def _ignore(_text: str) -> None:
    """Take a note: no bank is kept on disk."""
