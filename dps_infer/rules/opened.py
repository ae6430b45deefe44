"""Rules that are ready for use: each context is opened once, when a file first needs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dps_infer.bulk.thresholds import resolve_thresholds
from dps_infer.compare.metric import Metric
from dps_infer.compare.open import label_metrics, open_metrics
from dps_infer.compare.regions.gate import Gate
from dps_infer.compare.rule import Rule
from dps_infer.errors import DpsError, RulesError
from dps_infer.images.ignored import Ignored
from dps_infer.rules.book import RuleBook
from dps_infer.rules.layers import (
    CONTEXT,
    GATE,
    IGNORE,
    MASK,
    RESIZE,
    THRESHOLD,
    ContextChoice,
    Setting,
)
from dps_infer.runtime.device import Device


class OpenedRules:
    """The rule of every file.

    Args:
        book: the settings.
        device: where to compute.
        threads: CPU threads.
        note: called with one line for each saved context that hides another of its name.
    """

    def __init__(
        self,
        book: RuleBook,
        *,
        device: Device | str = Device.auto,
        threads: int | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.book = book
        self._device, self._threads, self._note = device, threads, note
        self._rules: dict[tuple[int, ...], Rule] = {}
        self._by_values: dict[tuple[object, ...], Rule] = {}
        self._files: dict[Path, Metric] = {}
        self._contexts: dict[ContextChoice, dict[str, Metric]] = {}
        self._ignored: dict[tuple[object, ...], Ignored | None] = {}

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics of all rules so far, by label."""
        return {label: m for found in self._contexts.values() for label, m in found.items()}

    def rule_of(self, path: str | os.PathLike[str] | None) -> Rule:
        """Return the rule of a file: one object for all files with the same settings.

        Args:
            path: see `RuleBook.tables_of`.

        Raises:
            RulesError: a context, threshold or mask of a ``dps.toml`` cannot be used.
            DpsError: likewise one of an option; or nothing says what matters.
        """
        tables = self.book.tables_of(path)
        if tables not in self._rules:
            settings = self.book.combined(tables)
            # Different tables may say the same.
            key = tuple(settings[name].value for name in sorted(settings))
            if key not in self._by_values:
                self._by_values[key] = self._open(settings)
            self._rules[tables] = self._by_values[key]
        return self._rules[tables]

    def _open(self, settings: Mapping[str, Setting]) -> Rule:
        metrics = self.open_contexts(settings)
        return Rule(
            metrics=metrics,
            thresholds=self.open_thresholds(settings, metrics),
            regions=Gate.worst if settings[GATE].value == Gate.worst.value else None,
            ignored=self.open_ignored(settings),
            resize=settings[RESIZE].value,
        )

    def open_contexts(self, settings: Mapping[str, Setting]) -> dict[str, Metric]:
        """Return the metrics of settings by label; see `rule_of` for the errors."""
        with self._naming(settings[CONTEXT], CONTEXT):
            return self._metrics(settings[CONTEXT].value)

    def open_thresholds(
        self, settings: Mapping[str, Setting], metrics: Mapping[str, Metric]
    ) -> dict[str, float | None]:
        """Return the thresholds of settings by label; see `rule_of` for the errors."""
        with self._naming(settings[THRESHOLD], THRESHOLD):
            return resolve_thresholds(settings[THRESHOLD].value, metrics)

    def open_ignored(self, settings: Mapping[str, Setting]) -> Ignored | None:
        """Return the parts that settings leave out; see `rule_of` for the errors."""
        key = (settings[IGNORE].value, settings[MASK].value)
        if key not in self._ignored:
            with self._naming(settings[MASK], MASK):
                self._ignored[key] = Ignored(*key) if any(key) else None
        return self._ignored[key]

    def _metrics(self, choice: ContextChoice) -> dict[str, Metric]:
        if choice not in self._contexts:
            opened = open_metrics(
                choice.files,
                choice.rankings,
                choice.importances,
                choice.names,
                device=self._device,
                threads=self._threads,
                note=self._note,
                project=choice.project,
                opened=self._files,
            )
            # Two contexts may share a name, as files in different folders do.
            taken = self.metrics
            labels = [*label_metrics([*taken.values(), *opened.values()])][len(taken) :]
            self._contexts[choice] = dict(zip(labels, opened.values(), strict=True))
        return self._contexts[choice]

    @contextmanager
    def _naming(self, setting: Setting, key: str) -> Iterator[None]:
        """Name the file, table and key in an error of a setting that comes from a file."""
        file = self.book.file
        layers = [] if file is None else [file.top, *(table.layer for table in file.tables)]
        try:
            yield
        except DpsError as error:
            if file is None or setting.source not in [layer.source for layer in layers]:
                raise
            raise RulesError(f"{file.path}: {setting.source}, {key}: {error}") from error
