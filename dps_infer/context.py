"""Load a context file, and measure how different images are in that context."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat, zip_longest
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dps_infer.calibration import percentiles
from dps_infer.contract import Measurement, check_measurement, check_ports
from dps_infer.devices import Device
from dps_infer.errors import ContextError, UsageError
from dps_infer.images import (
    DEFAULT_POLICY,
    DecodePolicy,
    ImageSource,
    Pair,
    Picture,
    Pixels,
    load_picture,
    make_pair,
)
from dps_infer.inputs import MEBIBYTE, read_bytes
from dps_infer.manifest import METADATA_KEY, Manifest, decode_manifest
from dps_infer.onnx_safety import inspect_model
from dps_infer.providers import Engine, open_engine

MAX_CONTEXT_BYTES = 512 * MEBIBYTE


@dataclass(frozen=True)
class Comparison:
    """How different two images are, and why.

    Attributes:
        distance: >= 0; 0 for identical images; larger means more different.
        amounts: per distortion and ``other``, how much of it the pair shows (0 none, 1 the
            distortion's reference strength); empty if the context file has none.
        parts: per distortion and ``other``, importance times amount; they add up to
            `distance`. Empty if `amounts` is.
        percentiles: per calibrated distortion, the share in [0, 1] of its calibration
            draws whose distance is smaller, interpolated.
        identical: no pixel of the two images differs.
        notes: what was done to the images before they were compared, for people.
        provider: the onnxruntime execution provider that computed it.
        map: where the distance comes from, float32 [H', W'], if it was asked for; the
            manifest's `map` says how it relates to `distance`.
    """

    distance: float
    amounts: dict[str, float]
    parts: dict[str, float]
    percentiles: dict[str, float]
    identical: bool
    notes: tuple[str, ...]
    provider: str
    map: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)


class Context:
    """A context file, loaded and checked, ready to compare images.

    Attributes:
        path: the file.
        sha256: of the file's bytes, in hexadecimal.
        manifest: everything the file says about itself.
        provider: the onnxruntime execution provider in use.
        threads: CPU threads in use.
        remark: why the CPU is used though CUDA was within reach, or None.
    """

    def __init__(self, path: str, sha256: str, manifest: Manifest, engine: Engine) -> None:
        """Take what `Context.load` has read, checked and opened."""
        self.path = path
        self.sha256 = sha256
        self.manifest = manifest
        self.provider = engine.provider
        self.threads = engine.threads
        self.remark = engine.remark
        self._engine = engine

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: Device | str = Device.auto,
        threads: int | None = None,
    ) -> Context:
        """Load a context file. It may come from anyone: it is checked before it is run.

        Args:
            path: the ``.onnx`` file.
            device: ``auto`` (CUDA if onnxruntime really gets it, else the CPU), ``cpu``, or
                ``cuda`` (never the CPU instead).
            threads: CPU threads; None takes what this process may use.

        Raises:
            ContextError: the file cannot be read, is no context file of a known format,
                or cannot be trusted.
            DeviceError: onnxruntime is missing, or CUDA was asked for and is not there.
            UsageError: an unknown device, or `threads` below 1.
        """
        try:
            chosen = Device(device)
        except ValueError:
            raise UsageError(f"unknown device {device!r}: expected auto, cpu or cuda") from None
        label = os.fspath(path)
        model, manifest = _read(path)
        try:
            engine = open_engine(model, device=chosen, threads=threads)
            check_ports(engine.inputs, engine.outputs, manifest)
        except ContextError as error:
            raise ContextError(f"{label}: {error}") from error
        return cls(label, _sha256(model), manifest, engine)

    def compare(
        self,
        reference: ImageSource,
        distorted: ImageSource,
        *,
        resize: bool = False,
        with_map: bool = False,
        policy: DecodePolicy = DEFAULT_POLICY,
    ) -> Comparison:
        """Compare two images.

        Args:
            reference: a path, an encoded image, or uint8 RGB pixels [H, W, 3].
            distorted: likewise, of the same size.
            resize: resize `distorted` to the size of `reference` if they differ.
            with_map: compute `Comparison.map` as well.
            policy: what the decode policy (`dps_infer.images`) leaves open.

        Raises:
            ImageError: an image cannot be used, or the sizes differ.
            ContextError: the context file breaks its contract.
        """
        pair = make_pair(
            load_picture(reference, label="reference", policy=policy),
            load_picture(distorted, label="distorted", policy=policy),
            resize=resize,
            policy=policy,
        )
        return self._compare_pairs([pair], with_map=with_map)[0]

    def compare_batch(
        self,
        references: ImageSource | Sequence[ImageSource] | NDArray[np.uint8],
        candidates: Iterable[ImageSource] | NDArray[np.uint8],
        *,
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
            resize: as in `compare`.
            with_map: as in `compare`.
            batch_size: pairs that are held and run at a time; it bounds the memory.
            policy: as in `compare`.

        Returns:
            One comparison a candidate, in their order, each as `compare` would give it.

        Raises:
            ImageError: an image cannot be used, or the sizes differ within a pair.
            UsageError: the numbers of references and candidates differ, or `batch_size` is
                below 1.
            ContextError: the context file breaks its contract.
        """
        if batch_size < 1:
            raise UsageError(f"expected a batch size of at least 1, got {batch_size}")
        pairs = (
            make_pair(reference, candidate, resize=resize, policy=policy)
            for reference, candidate in _pictures(references, candidates, policy)
        )
        results: list[Comparison] = []
        while batch := list(islice(pairs, batch_size)):
            results.extend(self._compare_pairs(batch, with_map=with_map))
        return results

    def measure(
        self, reference: Pixels, distorted: Pixels, *, with_map: bool = False
    ) -> Measurement:
        """Run the context file on arrays as they are: no decoding, no grouping.

        Args:
            reference: uint8 RGB [R, H, W, 3], R = N or 1.
            distorted: uint8 RGB [N, H, W, 3].
            with_map: compute the maps as well.

        Raises:
            ContextError: onnxruntime fails, or the file breaks its contract
                (`dps_infer.contract`).
        """
        fetches = ["distance"]
        if "amounts" in self._engine.outputs:
            fetches.append("amounts")
        if with_map:
            if "map" not in self._engine.outputs:
                raise ContextError(f"{self.path}: has no map: export the context again")
            fetches.append("map")
        try:
            values = self._engine.run(fetches, {"reference": reference, "distorted": distorted})
            measurement = Measurement(
                distances=values["distance"], amounts=values.get("amounts"), maps=values.get("map")
            )
            importances = list(self.manifest.metric.importances.values())
            check_measurement(measurement, len(distorted), importances)
        except ContextError as error:
            raise ContextError(f"{self.path}: {error}") from error
        return measurement

    def _compare_pairs(self, pairs: Sequence[Pair], *, with_map: bool) -> list[Comparison]:
        """Compare pairs of any sizes; views of one size share a run."""
        by_shape: dict[tuple[int, ...], list[tuple[int, Pixels, Pixels]]] = {}
        for index, pair in enumerate(pairs):
            for reference, distorted in pair.views:
                by_shape.setdefault(reference.shape, []).append((index, reference, distorted))
        farthest: dict[int, Comparison] = {}
        for views in by_shape.values():
            shared = all(reference is views[0][1] for _, reference, _ in views)
            measurement = self.measure(
                np.stack([reference for _, reference, _ in views[: 1 if shared else None]]),
                np.stack([distorted for _, _, distorted in views]),
                with_map=with_map,
            )
            for row, (index, _, _) in enumerate(views):
                comparison = self._comparison(measurement, row, pairs[index])
                if index not in farthest or comparison.distance > farthest[index].distance:
                    farthest[index] = comparison
        return [farthest[index] for index in range(len(pairs))]

    def _comparison(self, measurement: Measurement, row: int, pair: Pair) -> Comparison:
        distance = float(measurement.distances[row])
        amounts: dict[str, float] = {}
        if measurement.amounts is not None:
            values = measurement.amounts[row].tolist()
            amounts = dict(zip(self.manifest.parts, values, strict=True))
        importances = self.manifest.metric.importances
        return Comparison(
            distance=distance,
            amounts=amounts,
            parts={name: importances[name] * amount for name, amount in amounts.items()},
            percentiles=percentiles(distance, self.manifest.calibration),
            identical=pair.identical,
            notes=pair.notes,
            provider=self.provider,
            map=None if measurement.maps is None else measurement.maps[row],
        )


def read_manifest(path: str | os.PathLike[str]) -> tuple[Manifest, str]:
    """Read what a context file says about itself; onnxruntime is not needed.

    Returns:
        Its manifest, and the SHA-256 of the file in hexadecimal.

    Raises:
        ContextError: as `Context.load`.
    """
    model, manifest = _read(path)
    return manifest, _sha256(model)


def _read(path: str | os.PathLike[str]) -> tuple[bytes, Manifest]:
    """Read a file once and check all that can be checked without running it."""
    model = read_bytes(
        path, expected="a context file (.onnx)", limit=MAX_CONTEXT_BYTES, error=ContextError
    )
    try:
        metadata = inspect_model(model)
        if METADATA_KEY not in metadata:
            raise ContextError(
                "is an ONNX file without a manifest: expected what dps-export writes"
            )
        return model, decode_manifest(metadata[METADATA_KEY])
    except ContextError as error:
        raise ContextError(f"{os.fspath(path)}: {error}") from None


def _sha256(model: bytes) -> str:
    return hashlib.sha256(model).hexdigest()


def _pictures(
    references: ImageSource | Sequence[ImageSource] | NDArray[np.uint8],
    candidates: Iterable[ImageSource] | NDArray[np.uint8],
    policy: DecodePolicy,
) -> Iterator[tuple[Picture, Picture]]:
    """Decode pairs one after the other, a single reference only once."""
    if _is_one_image(candidates):
        raise UsageError("expected several candidates, got one image: put it into a list")
    if _is_one_image(references):
        listed = [cast(ImageSource, references)]
    else:
        listed = list(cast("Sequence[ImageSource]", references))
    if len(listed) == 1:
        shared = load_picture(listed[0], label="reference", policy=policy)
        firsts: Iterable[Picture | None] = repeat(shared)
    else:
        firsts = (
            load_picture(reference, label=f"reference {index}", policy=policy)
            for index, reference in enumerate(listed)
        )
    seconds = (
        load_picture(candidate, label=f"candidate {index}", policy=policy)
        for index, candidate in enumerate(candidates)
    )
    pairs = zip(firsts, seconds) if len(listed) == 1 else zip_longest(firsts, seconds)  # noqa: B905
    for first, second in pairs:
        if first is None or second is None:
            raise UsageError(
                f"{len(listed)} references do not fit the number of candidates: expected one "
                "reference, or one a candidate"
            )
        yield first, second


def _is_one_image(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 3
    return isinstance(value, (str, bytes, bytearray, memoryview, os.PathLike))
