"""Load a context file, and measure how different images are in that context."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from dps_infer.compare import bands
from dps_infer.compare.comparison import Comparison as Comparison
from dps_infer.compare.motion import motions
from dps_infer.compare.pairs import compare_pairs, distances
from dps_infer.compare.runs import pictures
from dps_infer.contexts.choice import Choice, choose, describe, name_of
from dps_infer.errors import ContextError, UsageError
from dps_infer.images.decode import (
    DEFAULT_POLICY,
    DecodePolicy,
    ImageSource,
    Pair,
    Pixels,
    load_picture,
    make_pair,
)
from dps_infer.model import embedded
from dps_infer.model.calibration import calibrate
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import (
    IMPORTANCE,
    TILES,
    Measurement,
    check_measurement,
    check_ports,
    output_name,
)
from dps_infer.model.manifest import Calibration, Draws, Manifest
from dps_infer.model.view import View
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import Engine, open_engine
from dps_infer.runtime.reference_cache import References, Remembered

if TYPE_CHECKING:
    from dps_infer.contexts.saved import SavedContext


class Context:
    """A context file, loaded and checked, ready to compare images.

    Attributes:
        path: the file.
        sha256: of the file's bytes, in hexadecimal.
        manifest: everything the file says about itself.
        importances: the context: one for each amount, in their order. The file's own, or for
            a universal file those that it was given.
        ranking: tied groups from the least to the most disruptive, from which `importances`
            follow; None where they were given directly.
        provider: the onnxruntime execution provider in use.
        threads: CPU threads in use.
        remark: why the CPU is used though CUDA was within reach, or None.
    """

    def __init__(
        self, path: str, sha256: str, manifest: Manifest, engine: Engine, choice: Choice
    ) -> None:
        """Take what `Context.load` has read, checked and opened."""
        self.path = path
        self.sha256 = sha256
        self.manifest = manifest
        self.importances = choice.importances
        self.ranking = choice.ranking
        self.provider = engine.provider
        self.threads = engine.threads
        self.remark = engine.remark
        self._engine = engine
        self._choice = choice

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        ranking: str | None = None,
        importances: str | Mapping[str, float] | None = None,
        saved: SavedContext | None = None,
        device: Device | str = Device.auto,
        threads: int | None = None,
    ) -> Context:
        """Load a context file. It may come from anyone: it is checked before it is run.

        Args:
            path: the ``.onnx`` file.
            ranking: for a universal file, distortions from the least to the most disruptive,
                like ``"color,translate,blur"``.
            importances: for a universal file, instead of a ranking: a number by name, or a
                text like ``"color=0.1,blur=5"``; what is missing does not count.
            saved: for a universal file, instead of both: a context that was kept.
            device: ``auto`` (CUDA if onnxruntime really gets it, else the CPU), ``cpu``, or
                ``cuda`` (never the CPU instead).
            threads: CPU threads; None takes what this process may use.

        Raises:
            ContextError: the file cannot be read, is no context file of a known format,
                or cannot be trusted.
            DeviceError: onnxruntime is missing, or CUDA was asked for and is not there.
            UsageError: an unknown device, or `threads` below 1; a universal file without
                exactly one of `ranking`, `importances` and `saved`, a plain one with any.
        """
        try:
            chosen = Device(device)
        except ValueError:
            raise UsageError(f"unknown device {device!r}: expected auto, cpu or cuda") from None
        file = read_context_file(path)
        choice = choose(file.manifest.metric, ranking=ranking, importances=importances, saved=saved)
        try:
            engine = open_engine(file.model, device=chosen, threads=threads)
            # The package's own file is known to keep the contract, and looking costs time.
            if Path(path) != embedded.UNIVERSAL:
                check_ports(engine.inputs, engine.outputs, file.manifest)
        except ContextError as error:
            raise ContextError(f"{file.path}: {error}") from error
        return cls(file.path, file.sha256, file.manifest, engine, choice)

    @classmethod
    def universal(
        cls,
        *,
        ranking: str | None = None,
        importance: str | Mapping[str, float] | None = None,
        device: Device | str = Device.auto,
        threads: int | None = None,
    ) -> Context:
        """Load the universal metric that comes with the package, in a context of your own.

        Args:
            ranking: distortions from the least to the most disruptive.
            importance: instead of a ranking: how much each of them counts.
            device: see `load`, as for the other arguments and the errors.
            threads: see `load`.
        """
        return cls.load(
            embedded.UNIVERSAL,
            ranking=ranking,
            importances=importance,
            device=device,
            threads=threads,
        )

    @classmethod
    def named(
        cls, name: str, *, device: Device | str = Device.auto, threads: int | None = None
    ) -> Context:
        """Load the universal metric that comes with the package, in a context that was saved.

        Args:
            name: of the context, such as ``"print-inspection"``; `dps_infer.contexts.folders`
                says where it is looked for.
            device: see `load`, as for the other argument and more errors.
            threads: see `load`.

        Raises:
            UsageError: there is no context of this name.
            ContextError: its file is not valid.
        """
        # Files are looked for and read with much that no other context needs.
        from dps_infer.contexts.folders import find

        saved = find(name).saved
        return cls.load(embedded.UNIVERSAL, saved=saved, device=device, threads=threads)

    def with_ranking(self, ranking: str) -> Context:
        """Return the same universal file in another context, without opening it again.

        Raises:
            UsageError: the file is not universal, or the ranking cannot be understood.
        """
        return self._with(choose(self.manifest.metric, ranking=ranking))

    def with_importances(self, importances: str | Mapping[str, float]) -> Context:
        """Return the same universal file in another context, without opening it again.

        Raises:
            UsageError: the file is not universal, or the importances cannot be understood.
        """
        return self._with(choose(self.manifest.metric, importances=importances))

    def with_saved(self, saved: SavedContext) -> Context:
        """Return the same universal file in another context, without opening it again.

        Raises:
            UsageError: the file is not universal, or has no such distortions.
        """
        return self._with(choose(self.manifest.metric, saved=saved))

    @cached_property
    def calibration(self) -> Calibration:
        """Quantiles of the distance in this context; a universal file's are computed once."""
        if self.manifest.calibration is not None:
            return self.manifest.calibration
        # A valid manifest has the one or the other.
        return calibrate(cast(Draws, self.manifest.draws), self.importances)

    @property
    def label(self) -> str:
        """A short name for columns and files: the file's own, or the context it was given."""
        return name_of(self._choice) if self.manifest.universal else self.manifest.metric.name

    @property
    def name(self) -> str:
        """The name of the saved context that this is; of other contexts, that of the file."""
        return self._choice.name or self.manifest.metric.name

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of `Comparison.parts`; none if the file gives no amounts."""
        return tuple(self.importances) if self._gives("amounts") else ()

    def describe(self) -> str:
        """Say in words what this context holds to be disruptive."""
        return describe(self._choice)

    def compare(
        self,
        reference: ImageSource,
        distorted: ImageSource,
        *,
        view: View | str | None = None,
        resize: bool = False,
        with_map: bool = False,
        policy: DecodePolicy = DEFAULT_POLICY,
    ) -> Comparison:
        """Compare two images.

        Args:
            reference: a path, an encoded image, or uint8 RGB pixels [H, W, 3].
            distorted: likewise, of the same size.
            view: how to look at the images: ``whole``, ``tiles`` or ``both``; None takes the
                file's default.
            resize: resize `distorted` to the size of `reference` if they differ.
            with_map: compute `Comparison.map` and `Comparison.tiles` as well.
            policy: what the decode policy (`dps_infer.images.decode`) leaves open.

        Raises:
            ImageError: an image cannot be used, or the sizes differ.
            ContextError: the context file breaks its contract, or has no views and is asked
                for one.
            UsageError: an unknown view.
        """
        pair = make_pair(
            load_picture(reference, label="reference", policy=policy),
            load_picture(distorted, label="distorted", policy=policy),
            resize=resize,
            policy=policy,
        )
        return self.compare_pairs([pair], view=view, with_map=with_map, alone=False)[0]

    def compare_batch(
        self,
        references: ImageSource | Sequence[ImageSource] | NDArray[np.uint8],
        candidates: Iterable[ImageSource] | NDArray[np.uint8],
        *,
        view: View | str | None = None,
        resize: bool = False,
        with_map: bool = False,
        batch_size: int = 16,
        policy: DecodePolicy = DEFAULT_POLICY,
    ) -> list[Comparison]:
        """Compare many pairs, or one reference with many candidates.

        Args:
            references: one image, a sequence of them, or uint8 RGB pixels [R, H, W, 3]. A
                single one (R = 1) is decoded once, and compared with every candidate.
            candidates: images, or uint8 RGB pixels [N, H, W, 3]; sizes may vary among pairs.
            view: as in `compare`.
            resize: as in `compare`.
            with_map: as in `compare`.
            batch_size: pairs that are held and run at a time; it bounds the memory.
            policy: as in `compare`.

        Returns:
            One comparison a candidate, in their order, each as `compare` would give it.

        Raises:
            ImageError: an image cannot be used, or the sizes differ within a pair.
            UsageError: the numbers of references and candidates differ, `batch_size` is
                below 1, or the view is unknown.
            ContextError: as in `compare`.
        """
        if batch_size < 1:
            raise UsageError(f"expected a batch size of at least 1, got {batch_size}")
        pairs = (
            make_pair(reference, candidate, resize=resize, policy=policy)
            for reference, candidate in pictures(references, candidates, policy)
        )
        results: list[Comparison] = []
        shared = References()
        while batch := list(islice(pairs, batch_size)):
            results += compare_pairs(
                batch, [self], view=view, with_map=with_map, references=shared
            )[0]
        return results

    def measure(
        self,
        reference: Pixels,
        distorted: Pixels,
        *,
        view: View | str | None = None,
        with_map: bool = False,
        alone: bool = False,
        remembered: Remembered | None = None,
    ) -> Measurement:
        """Run the context file on arrays as they are: no decoding, no grouping.

        Args:
            reference: uint8 RGB [R, H, W, 3], R = N or 1.
            distorted: uint8 RGB [N, H, W, 3].
            view: as in `compare`.
            with_map: compute the maps, and the tiles of a view that has them, as well.
            alone: compute nothing else: worth it for many runs, as the first takes longer.
            remembered: what earlier calls computed of the same single reference, an empty one at
                first: it is computed once.

        Raises:
            ContextError: onnxruntime fails, or the file breaks its contract
                (`dps_infer.model.contract`), or has no views and is asked for one.
            UsageError: an unknown view.
        """
        chosen = self.chosen_view(view)
        names = {kind: output_name(kind, chosen) for kind in ("distance", "amounts", "map")}
        fetches = [names["distance"]]
        if self._gives(names["amounts"]):
            fetches.append(names["amounts"])
        if with_map:
            if not self._gives(names["map"]):
                raise ContextError(f"{self.path}: has no map: export the context again")
            fetches.append(names["map"])
            if chosen in (View.tiles, View.both):
                fetches.append(TILES)
        feeds: dict[str, NDArray[Any]] = {"reference": reference, "distorted": distorted}
        weights = np.array(list(self.importances.values()), np.float32)
        if self.manifest.universal:
            feeds[IMPORTANCE] = weights
        try:
            values = self._run(fetches, feeds, chosen, weights, alone=alone, remembered=remembered)
        except ContextError as error:
            raise ContextError(f"{self.path}: {error}") from error
        measurement = Measurement(
            distances=values[names["distance"]],
            amounts=values.get(names["amounts"]),
            maps=values.get(names["map"]),
            tiles=values.get(TILES),
        )
        return self.weighed(self._checked(measurement, len(distorted)))

    def weighed(self, measurement: Measurement) -> Measurement:
        """Return a universal file's measurement with the distances that it has in this context.

        They follow from the amounts (`dps_infer.compare.pairs`), which are those of every context.
        Maps and what a plain file measured stay as they are.

        Raises:
            ContextError: the amounts are so large that a distance is no finite number.
        """
        if not self.manifest.universal or measurement.amounts is None:
            return measurement
        found = distances(measurement.amounts, self.importances.values())
        return self._checked(replace(measurement, distances=found), len(found))

    def _checked(self, measurement: Measurement, count: int) -> Measurement:
        try:
            check_measurement(measurement, count, list(self.importances.values()))
        except ContextError as error:
            raise ContextError(f"{self.path}: {error}") from error
        return measurement

    def shares_runs_with(self, other: Context) -> bool:
        """Return whether what one of them measured is `weighed` to what the other one would."""
        return self._engine is other._engine and self.manifest.universal and bool(self.part_names)

    def _gives(self, output: str) -> bool:
        """Return whether the graph has an output; one with views has them all."""
        return self.manifest.views is not None or output in self._engine.outputs

    def _run(
        self,
        fetches: list[str],
        feeds: dict[str, NDArray[Any]],
        view: View | None,
        importances: NDArray[np.float32],
        *,
        alone: bool,
        remembered: Remembered | None,
    ) -> dict[str, NDArray[Any]]:
        """Run the graph: at once, or in bands where tiles would take too much memory."""
        _, height, width, _ = feeds["distorted"].shape
        views = self.manifest.views
        large = height * width > bands.BAND_PIXELS
        if views is not None and view is not None and large:
            run = partial(self._engine.run, alone=True)
            if view is View.whole:
                return run(fetches, feeds, remembered=remembered)
            if bands.known(views):
                return bands.run_in_bands(
                    run,
                    feeds,
                    remembered,
                    tile=views.tile,
                    motions=motions(self.manifest.metric.amounts, self.manifest.metric.distortions),
                    view=view,
                    importances=importances,
                    with_map=TILES in fetches,
                )
        return self._engine.run(fetches, feeds, alone=alone, remembered=remembered)

    def _with(self, choice: Choice) -> Context:
        return Context(self.path, self.sha256, self.manifest, self._engine, choice)

    def chosen_view(self, view: View | str | None) -> View | None:
        """Return the view that is meant; None for a file without views.

        Raises:
            UsageError: an unknown view.
            ContextError: the file has no views and is asked for one.
        """
        try:
            asked = None if view is None else View(view)
        except ValueError:
            known = ", ".join(known.value for known in View)
            raise UsageError(f"unknown view {view!r}: expected one of {known}") from None
        if self.manifest.views is not None:
            return View(self.manifest.views.default) if asked is None else asked
        if asked is not None:
            raise ContextError(
                f"{self.path}: looks at images in one way only, so there is no view "
                f"{asked.value!r}: ask for none, or take a file with views"
            )
        return None

    def compare_pairs(
        self,
        pairs: Sequence[Pair],
        *,
        view: View | str | None = None,
        with_map: bool = False,
        alone: bool = True,
    ) -> list[Comparison]:
        """Compare pairs that are decoded already; those of one size share a run.

        Args:
            pairs: of any sizes (`dps_infer.images.decode.make_pair`). Those whose references are
                the same array compute its features once a run, and where it pays
                (`dps_infer.runtime.reference_cache`) once for all runs.
            view: as in `compare`.
            with_map: as in `compare`.
            alone: as in `measure`.
        """
        (comparisons,) = compare_pairs(pairs, [self], view=view, with_map=with_map, alone=alone)
        return comparisons
