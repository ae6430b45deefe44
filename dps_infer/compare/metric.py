"""A metric: a loaded context file that measures how different images are in a context."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from dps_infer.arrays import ArrayLike, ChannelOrder, Pixels
from dps_infer.compare.pairs import Comparison, Weighting, new_cache
from dps_infer.compare.regions.gate import Gate
from dps_infer.compare.regions.measure import compare_regions
from dps_infer.compare.runner import GraphRunner
from dps_infer.contexts.context import Context, choose_context
from dps_infer.contexts.ranking import SIZE, Ranking
from dps_infer.errors import UsageError
from dps_infer.images.decode import (
    DEFAULT_POLICY,
    DecodePolicy,
    ImageSource,
    Pair,
    load_picture,
    make_pair,
)
from dps_infer.model import embedded
from dps_infer.model.anchors import Scale, scales
from dps_infer.model.calibration import calibrate
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import Measurement
from dps_infer.model.manifest import Calibration, Draws, Manifest, MetricInfo
from dps_infer.runtime.device import Device

if TYPE_CHECKING:
    from dps_infer.images.ignored import BoxSource, Ignored
    from dps_infer.runtime.reference_cache import ReferenceCache, ReferenceFeatures


class Metric:
    """A context file, loaded and checked, ready to compare images in a context.

    It can be pickled: processes of `multiprocessing`, workers of a PyTorch ``DataLoader`` and Ray
    open the file again, by its path and its hash. It works in forked processes too, on the CPU.

    Attributes:
        context: what counts as disruptive: the file's own context, or for a universal file the
            one that it was given.
    """

    def __init__(self, runner: GraphRunner, context: Context) -> None:
        """Take an opened file and its context; `load` and `in_context` make both."""
        self._runner = runner
        self.context = context

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        ranking: str | None = None,
        importances: str | Mapping[str, float] | None = None,
        context: Context | None = None,
        device: Device | str = Device.auto,
        threads: int | None = None,
    ) -> Metric:
        """Load a context file. It may come from anyone: it is checked before it is run.

        Args:
            path: the ``.onnx`` file.
            ranking: for a universal file, distortions from the least to the most disruptive,
                like ``"color,translate,blur"``.
            importances: for a universal file, in place of a ranking: numbers by name, or a text
                like ``"color=0.1,blur=5"``; missing ones are 0.
            context: for a universal file, in place of both.
            device: ``auto`` (CUDA if onnxruntime really gets it, else the CPU), ``cpu``, or
                ``cuda`` (never the CPU instead).
            threads: CPU threads; None takes all that this process may use.

        Raises:
            ContextError: the file cannot be read, is no context file of a known format,
                or cannot be trusted.
            DeviceError: onnxruntime is missing, or CUDA is asked for and not there.
            UsageError: an unknown device, or `threads` below 1; a universal file without
                exactly one of `ranking`, `importances` and `context`, a plain one with any.
        """
        file = read_context_file(path)
        chosen = _context(
            file.manifest.metric, ranking=ranking, importances=importances, context=context
        )
        return cls(GraphRunner(file, device=device, threads=threads), chosen)

    @classmethod
    def universal(
        cls,
        *,
        ranking: str | None = None,
        importances: str | Mapping[str, float] | None = None,
        context: Context | None = None,
        device: Device | str = Device.auto,
        threads: int | None = None,
    ) -> Metric:
        """Load the universal metric that comes with the package; see `load`."""
        return cls.load(
            embedded.UNIVERSAL,
            ranking=ranking,
            importances=importances,
            context=context,
            device=device,
            threads=threads,
        )

    @classmethod
    def named(
        cls, name: str, *, device: Device | str = Device.auto, threads: int | None = None
    ) -> Metric:
        """Load the universal metric that comes with the package in a saved context.

        Args:
            name: the context's name, such as ``"print-inspection"``; see
                `dps_infer.contexts.folders` for the places that are searched.
            device: see `load`.
            threads: see `load`.

        Raises:
            UsageError: there is no context of this name.
            ContextError: its file is not valid; and see `load`.
        """
        # Only saved contexts need TOML and folders, whose import takes time.
        from dps_infer.contexts.folders import find

        return cls.universal(context=find(name).context, device=device, threads=threads)

    def in_context(
        self,
        *,
        ranking: str | None = None,
        importances: str | Mapping[str, float] | None = None,
        context: Context | None = None,
    ) -> Metric:
        """Return the same universal file in another context, without opening it again.

        Raises:
            UsageError: the file is not universal, not exactly one of the three is given, or it
                is not valid.
        """
        chosen = _context(
            self.manifest.metric, ranking=ranking, importances=importances, context=context
        )
        return Metric(self._runner, chosen)

    @property
    def runner(self) -> GraphRunner:
        """The opened file; metrics that differ in their contexts alone share one."""
        return self._runner

    @property
    def manifest(self) -> Manifest:
        """The description inside the file."""
        return self._runner.manifest

    @property
    def path(self) -> str:
        """The file."""
        return self._runner.file.path

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, in hexadecimal."""
        return self._runner.file.sha256

    @property
    def provider(self) -> str:
        """The onnxruntime execution provider in use."""
        return self._runner.provider

    @property
    def threads(self) -> int:
        """CPU threads in use."""
        return self._runner.threads

    @property
    def remark(self) -> str | None:
        """Why the CPU is used although CUDA is offered, or None."""
        return self._runner.remark

    @property
    def importances(self) -> Mapping[str, float]:
        """The context's importances: one number per amount, in their order."""
        return self.context.importances

    @property
    def ranking(self) -> Ranking | None:
        """The context's ranking; None if its importances were given directly."""
        return self.context.ranking

    @property
    def label(self) -> str:
        """A short name for columns and files: the file's own, or that of its given context."""
        return self.context.label if self.manifest.universal else self.manifest.metric.name

    @property
    def name(self) -> str:
        """The name of its saved context; the name of the file for any other context."""
        return self.context.name or self.manifest.metric.name

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of `Comparison.parts`; none if the file gives no amounts."""
        if not self._runner.has_output("amounts"):
            return ()
        return tuple(name for name in self.manifest.metric.amounts if name != SIZE)

    def gives(self, name: str) -> bool:
        """Return whether the file has an output, such as ``"map"`` or ``"strengths"``."""
        return self._runner.has_output(name)

    @cached_property
    def calibration(self) -> Calibration:
        """Quantiles of the distance in this context; a universal file's are computed once."""
        if self.manifest.calibration is not None:
            return self.manifest.calibration
        # A valid manifest without a calibration has draws.
        draws = cast(Draws, self.manifest.draws)
        return calibrate(draws, self.manifest.metric.amounts, self.importances)

    @cached_property
    def scales(self) -> list[Scale]:
        """The ladders of the file in this context."""
        return scales(self.manifest.ladders, self.manifest.metric.amounts, self.importances)

    @property
    def weighting(self) -> Weighting:
        """The context as `dps_infer.compare.pairs` takes it."""
        return Weighting(self.importances, self.calibration, tuple(self.scales))

    def describe(self) -> str:
        """Describe the context in one line."""
        return self.context.describe()

    def shares_runs_with(self, other: Metric) -> bool:
        """Return whether one run of the network serves both metrics."""
        shared = self._runner is other._runner
        return shared and self.manifest.universal and bool(self.part_names)

    def compare(
        self,
        reference: ImageSource,
        candidate: ImageSource,
        *,
        resize: bool = False,
        with_map: bool = False,
        with_regions: bool = False,
        ignore: Ignored | Sequence[BoxSource] | None = None,
        value_range: tuple[float, float] | None = None,
        channel_order: ChannelOrder | None = None,
        channel_last: bool | None = None,
        policy: DecodePolicy = DEFAULT_POLICY,
    ) -> Comparison:
        """Compare two images.

        Args:
            reference: a path, an encoded image, an open file, an array or anything with
                ``__array__``, or an image of Pillow (`dps_infer.images.decode.ImageSource`).
            candidate: an image of the same size, in any of these forms.
            resize: resize `candidate` to the size of `reference` if they differ.
            with_map: compute `Comparison.map` and `Comparison.cells` as well.
            with_regions: find the places that differ (`Comparison.regions`) as well.
            ignore: parts to leave out: boxes like ``"10,20,300,40"`` or ``"0,90%,100%,10%"``
                (left edge, upper edge, width, height), or `dps_infer.Ignored`, which also takes
                a mask.
            value_range: of arrays other than uint8, such as ``(0, 1)``
                (`dps_infer.arrays.ArrayLayout`); in place of that of `policy`.
            channel_order: of arrays, ``"rgb"`` or ``"bgr"``; likewise.
            channel_last: of arrays, False for [channels, H, W]; likewise.
            policy: options of the decode policy (`dps_infer.images.decode`).

        Raises:
            ImageError: an image cannot be used, the sizes differ, or `ignore` does not fit them.
            UsageError: an invalid box, range or order.
            ContextError: the context file breaks its contract.
        """
        policy = _with_layout(policy, value_range, channel_order, channel_last)
        pair = make_pair(
            load_picture(reference, label="reference", policy=policy),
            load_picture(candidate, label="candidate", policy=policy),
            resize=resize,
            policy=policy,
            ignored=_ignored(ignore),
        )
        return self.compare_pairs(
            [pair], with_map=with_map, regions=_whole(with_regions), alone=False
        )[0]

    def compare_batch(
        self,
        references: ImageSource | Sequence[ImageSource],
        candidates: Iterable[ImageSource] | ArrayLike,
        *,
        resize: bool = False,
        with_map: bool = False,
        with_regions: bool = False,
        ignore: Ignored | Sequence[BoxSource] | None = None,
        batch_size: int = 16,
        value_range: tuple[float, float] | None = None,
        channel_order: ChannelOrder | None = None,
        channel_last: bool | None = None,
        policy: DecodePolicy = DEFAULT_POLICY,
    ) -> list[Comparison]:
        """Compare many pairs, or one reference with many candidates.

        Args:
            references: one image, a sequence of them, or an array or tensor [R, H, W, 3]. A
                single one (R = 1) is decoded once, and compared with every candidate.
            candidates: images, or an array or tensor [N, H, W, 3]; sizes may vary among pairs.
            resize: see `compare`.
            with_map: see `compare`.
            with_regions: see `compare`.
            ignore: see `compare`; the same in every pair.
            batch_size: pairs that are held and run at a time; it bounds the memory.
            value_range: see `compare`.
            channel_order: see `compare`.
            channel_last: see `compare`; False for [N, channels, H, W].
            policy: see `compare`.

        Returns:
            One comparison per candidate, in their order, equal to that of `compare`.

        Raises:
            ImageError: an image cannot be used, or the sizes differ within a pair.
            UsageError: the numbers of references and candidates differ, `batch_size` is
                below 1.
            ContextError: see `compare`.
        """
        if batch_size < 1:
            raise UsageError(f"expected a batch size of at least 1, got {batch_size}")
        from dps_infer.compare.sources import load_pairs

        policy = _with_layout(policy, value_range, channel_order, channel_last)
        ignored = _ignored(ignore)
        pairs = (
            make_pair(reference, candidate, resize=resize, policy=policy, ignored=ignored)
            for reference, candidate in load_pairs(references, candidates, policy)
        )
        results: list[Comparison] = []
        cache = new_cache()
        while batch := list(islice(pairs, batch_size)):
            results += self.compare_pairs(
                batch, with_map=with_map, regions=_whole(with_regions), cache=cache
            )
        return results

    def compare_pairs(
        self,
        pairs: Sequence[Pair],
        *,
        with_map: bool = False,
        regions: Gate | None = None,
        alone: bool = True,
        cache: ReferenceCache | None = None,
    ) -> list[Comparison]:
        """Compare decoded pairs; see `dps_infer.compare.regions.measure.compare_regions`."""
        (comparisons,) = compare_regions(
            pairs,
            self._runner,
            [self.weighting],
            with_map=with_map,
            regions=regions,
            alone=alone,
            cache=cache,
        )
        return comparisons

    def measure(
        self,
        reference: Pixels,
        candidates: Pixels,
        *,
        with_map: bool = False,
        alone: bool = False,
        cached: ReferenceFeatures | None = None,
    ) -> Measurement:
        """Run the context file on arrays as they are, without decoding or grouping.

        Args:
            reference: uint8 RGB [R, H, W, 3], R = N or 1.
            candidates: uint8 RGB [N, H, W, 3].
            with_map: compute the maps as well, and the cells of a file that names kinds.
            alone: compute only these outputs: worth it for many runs, as the first one takes
                longer.
            cached: features of the single reference; missing ones are added.

        Raises:
            ContextError: onnxruntime fails, or the file breaks its contract
                (`dps_infer.model.contract`).
        """
        return self._runner.measure(
            reference,
            candidates,
            self.importances,
            with_map=with_map,
            alone=alone,
            cached=cached,
        )


def _with_layout(
    policy: DecodePolicy,
    value_range: tuple[float, float] | None,
    channel_order: ChannelOrder | None,
    channel_last: bool | None,
) -> DecodePolicy:
    """Return the policy with the parts of the layout of arrays that are given."""
    given = {
        "value_range": value_range,
        "channel_order": channel_order,
        "channel_last": channel_last,
    }
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(policy, **changed) if changed else policy


def _ignored(value: Ignored | Sequence[BoxSource] | None) -> Ignored | None:
    if value is None:
        return None
    # Most calls leave nothing out.
    from dps_infer.images.ignored import as_ignored

    return as_ignored(value)


def _whole(with_regions: bool) -> Gate | None:
    return Gate.whole if with_regions else None


def _context(
    metric: MetricInfo,
    *,
    ranking: str | None,
    importances: str | Mapping[str, float] | None,
    context: Context | None,
) -> Context:
    """Return the context of a plain file, or the one that is given to a universal file."""
    own = metric.context
    if own is None:
        return choose_context(
            metric.distortion_names, ranking=ranking, importances=importances, context=context
        )
    if any(value is not None for value in (ranking, importances, context)):
        raise UsageError(
            f"this context file has its context frozen in ({own.describe()}): give it no "
            "ranking, no importances and no saved context, or take a universal file"
        )
    return own
