"""Examine an installation: its parts, its problems, and a remedy for each.

A broken installation can be examined as well: a part that is missing or does not load becomes a
problem in the diagnosis, never an error.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import platform
import shutil
from dataclasses import dataclass, field
from importlib import metadata

from dps_infer.errors import DpsError
from dps_infer.extras import install
from dps_infer.graph.model import read_model
from dps_infer.model import embedded
from dps_infer.runtime.device import CPU, CUDA, Device
from dps_infer.runtime.engine import probe_providers
from dps_infer.runtime.threads import affinity_cores, available_threads, cgroup_cores
from dps_infer.version import __version__

PACKAGE = "dps-toolkit"

MODULES = {
    "numpy": "numpy",
    "opencv": "cv2",
    "simplejpeg": "simplejpeg",
    "msgspec": "msgspec",
    "typer": "typer",
    "rich": "rich",
    "platformdirs": "platformdirs",
    "onnxruntime": "onnxruntime",
}
"""The modules that the package needs, by name in the diagnosis."""

_WHEELS = {"cv2": "opencv-python-headless"}
"""Packages by the modules in them, where the names differ."""

AGREEMENT = 0.01
"""Relative difference allowed between CUDA and the CPU, which sum in a different order."""


@dataclass(frozen=True)
class Finding:
    """A fact about the installation that needs attention.

    Attributes:
        what: the fact, in one line.
        advice: the remedy, if there is anything to do.
    """

    what: str
    advice: str


class Findings(list[Finding]):
    """Facts in the order in which they were found."""

    def add(self, what: str, advice: str) -> None:
        """Append a finding."""
        self.append(Finding(what, advice))


@dataclass(frozen=True)
class Threads:
    """The number of CPU threads, and its reasons.

    Attributes:
        used: used by default.
        affinity: cores this process may be scheduled on.
        quota: cores that its control groups (cgroups) grant; None for no limit.
    """

    used: int
    affinity: int
    quota: float | None


@dataclass(frozen=True)
class SelfTest:
    """Distances by the universal metric on one device.

    Attributes:
        identical: distance of an image to itself; must be 0.
        changed: distance of that image to its negative; must be above 0.
    """

    identical: float
    changed: float


@dataclass
class Diagnosis:
    """The state of an installation, filled in by one check after the other.

    Attributes:
        python: version of the interpreter.
        system: operating system and processor.
        versions: version of this package and of each dependency; None if it does not load.
        wheels: versions of the installed packages that contain a module onnxruntime.
        providers: why each provider that onnxruntime offers does not load; None if it loads.
        threads: CPU threads.
        universal: SHA-256 of the embedded context file; None if it cannot be read.
        self_test: results by device, ``cpu`` and, if it loads, ``cuda``.
        problems: findings to repair.
        notes: findings that are not problems.
    """

    python: str
    system: str
    versions: dict[str, str | None]
    wheels: dict[str, str]
    providers: dict[str, str | None]
    threads: Threads
    universal: str | None = None
    self_test: dict[str, SelfTest] = field(default_factory=dict)
    problems: Findings = field(default_factory=Findings)
    notes: Findings = field(default_factory=Findings)

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def examine() -> Diagnosis:
    """Examine the installation of this interpreter, in a second or two."""
    packages = metadata.packages_distributions()
    found = Diagnosis(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        versions={PACKAGE: __version__},
        wheels=_versions_of(packages.get("onnxruntime", [])),
        providers={},
        threads=Threads(available_threads(), affinity_cores(), cgroup_cores()),
    )
    for name, module in MODULES.items():
        found.versions[name] = _module_version(module, found.problems)
    _check_universal(found)
    if found.universal is not None:
        _check_providers(found)
        if None not in found.versions.values():
            _run_self_tests(found)
    _check_wheels(found)
    opencvs = _versions_of(packages.get("cv2", []))
    if len(opencvs) > 1:
        found.problems.add(
            f"{_listed(opencvs)} overwrite each other's files",
            f"pip uninstall {' '.join(opencvs)}, then pip install opencv-python-headless",
        )
    return found


def describe(diagnosis: Diagnosis) -> list[str]:
    """Return a diagnosis as lines for people."""
    threads = diagnosis.threads
    quota = "none" if threads.quota is None else f"{threads.quota:g} cores"
    cores = f"cores by affinity: {threads.affinity}, cgroup limit: {quota}"
    facts = [
        ("Python", f"{diagnosis.python}, {diagnosis.system}"),
        *((name, version or "does not load") for name, version in diagnosis.versions.items()),
        ("runtime from", _listed(diagnosis.wheels) or "no package"),
        *(
            (name, "loads" if reason is None else f"does not load: {reason}")
            for name, reason in diagnosis.providers.items()
        ),
        ("CPU threads", f"{threads.used} ({cores})"),
        ("universal file", f"SHA-256 {diagnosis.universal or 'unknown'}"),
        *(
            (
                f"self-test, {device}",
                f"identical images {result.identical:g}, negative {result.changed:.3g}",
            )
            for device, result in diagnosis.self_test.items()
        ),
    ]
    width = max(len(label) for label, _ in facts)
    count = len(diagnosis.problems)
    return [
        *(f"{label.ljust(width)}  {text}" for label, text in facts),
        *(f"note: {note.what}: {note.advice}" for note in diagnosis.notes),
        *(f"problem: {problem.what}: {problem.advice}" for problem in diagnosis.problems),
        "healthy" if diagnosis.healthy else f"{count} problem{'s' if count > 1 else ''}",
    ]


def _module_version(name: str, problems: Findings) -> str | None:
    """Import a module and return its version; None, and a problem, if that fails."""
    try:
        module = importlib.import_module(name)
        if name == "onnxruntime" and not hasattr(module, "InferenceSession"):
            raise ImportError("only an empty folder is left of it")
    # A broken binary wheel can raise anything.
    except Exception as error:
        again = f"pip install --force-reinstall {_WHEELS.get(name, name)}"
        problems.add(
            f"{name} does not load ({_first_line(error)})",
            install("cpu") if name == "onnxruntime" else again,
        )
        return None
    try:
        # Not every package has its version as an attribute.
        return str(getattr(module, "__version__", None) or metadata.version(name))
    except metadata.PackageNotFoundError:
        return "unknown"


def _versions_of(distributions: list[str]) -> dict[str, str]:
    return {name: metadata.version(name) for name in sorted(set(distributions))}


def _check_universal(found: Diagnosis) -> None:
    """Hash the embedded file and compare it with the installer's record, if there is one."""
    repair = f"install it again: {install('cpu')}, with --force-reinstall --no-deps"
    try:
        data = embedded.UNIVERSAL.read_bytes()
    except OSError as error:
        found.problems.add(f"the embedded metric cannot be read ({error.strerror})", repair)
        return
    digest = hashlib.sha256(data).digest()
    recorded = _recorded_hash()
    # An editable installation has no record of its files.
    if recorded is not None and recorded != base64.urlsafe_b64encode(digest).decode().rstrip("="):
        found.problems.add("the embedded metric is not the one that was installed", repair)
    found.universal = digest.hex()


def _recorded_hash() -> str | None:
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == embedded.UNIVERSAL.name and file.hash is not None:
            return file.hash.value
    return None


def _check_providers(found: Diagnosis) -> None:
    try:
        providers = probe_providers(read_model(embedded.UNIVERSAL.read_bytes()))
    except DpsError:
        # onnxruntime does not load, which is a problem of the modules already.
        return
    found.providers = providers
    if providers.get(CPU, "not offered") is not None:
        found.problems.add(
            f"{CPU} does not load ({providers.get(CPU, 'not offered')})",
            f"pip install --force-reinstall {' '.join(found.wheels) or 'onnxruntime'}",
        )
    if providers.get(CUDA) is not None:
        found.problems.add(
            f"{CUDA} is offered and does not load ({providers[CUDA]})",
            "check the driver with nvidia-smi, and install the CUDA libraries with "
            f"{install('gpu')}; --device cpu works meanwhile",
        )
    for name, reason in providers.items():
        if reason is not None and name not in (CPU, CUDA):
            found.notes.add(f"{name} does not load", "nothing to do: dps-infer does not use it")


def _check_wheels(found: Diagnosis) -> None:
    wheels, cuda = found.wheels, CUDA in found.providers
    if len(wheels) > 1:
        found.problems.add(
            f"{_listed(wheels)} are both installed and overwrite each other's files, so that "
            "CUDA is lost",
            f"pip uninstall {' '.join(wheels)}, then {install('cpu')}, with [gpu] for an NVIDIA "
            "GPU",
        )
    elif "onnxruntime-gpu" in wheels and found.providers and not cuda:
        found.problems.add(
            f"onnxruntime-gpu does not offer {CUDA}: its files were overwritten",
            "pip install --force-reinstall onnxruntime-gpu",
        )
    if shutil.which("nvidia-smi") is not None and not cuda:
        found.notes.add(
            "there is an NVIDIA driver, but this onnxruntime cannot use it",
            f"for the GPU, pip uninstall onnxruntime, then {install('gpu')}",
        )


def _run_self_tests(found: Diagnosis) -> None:
    """Compare images by the embedded metric on each device that loads."""
    problem, results = found.problems.add, found.self_test
    repair = (
        f"install it again: {install('cpu')}, with --force-reinstall; report it if that does not "
        "help"
    )
    cuda = found.providers.get(CUDA, "") is None
    for device in (Device.cpu, Device.cuda) if cuda else (Device.cpu,):
        name = device.value
        try:
            result = results[name] = _measure(device)
        # A diagnosis must survive every failure of a measurement.
        except Exception as error:
            problem(f"the self-test on {name} fails ({_first_line(error)})", repair)
            continue
        if result.identical != 0:
            problem(f"identical images are {result.identical:g} apart on {name}", repair)
        if not result.changed > 0:
            problem(f"an image and its negative are {result.changed:g} apart on {name}", repair)
    if len(results) == 2:
        cpu, gpu = results["cpu"].changed, results["cuda"].changed
        if abs(gpu - cpu) > AGREEMENT * cpu:
            advice = "use --device cpu, and report it"
            problem(f"CUDA computes {gpu:g} where the CPU computes {cpu:g}", advice)


def _measure(device: Device) -> SelfTest:
    import numpy as np

    from dps_infer.compare.metric import Metric

    rows, columns = np.mgrid[0:96, 0:96]
    image = np.stack([rows * 2, columns * 2, (rows * columns) % 256], axis=2).astype(np.uint8)
    metric = Metric.universal(importances={"size": 1.0}, device=device)
    same, changed = metric.compare_batch(image, [image, 255 - image])
    return SelfTest(same.distance, changed.distance)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _listed(versions: dict[str, str]) -> str:
    return " and ".join(f"{name} {version}" for name, version in versions.items())
