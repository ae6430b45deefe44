"""What this installation can do, what is wrong with it, and what to do about it.

Everything here works on a broken installation as well: what is missing or does not load
becomes a problem in the diagnosis, and never an error of the examination itself.
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
from dps_infer.graph.model import read_model
from dps_infer.model import embedded
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import CPU, CUDA, probe_providers
from dps_infer.runtime.threads import affinity_cores, available_threads, cgroup_cores
from dps_infer.version import __version__

PACKAGE = "dps-toolkit"

MODULES = {
    "numpy": "numpy",
    "opencv": "cv2",
    "msgspec": "msgspec",
    "typer": "typer",
    "rich": "rich",
    "onnxruntime": "onnxruntime",
}
"""What the package needs, by the name of the module."""

AGREEMENT = 0.01
"""Relative difference allowed between CUDA and the CPU: their sums run in another order."""


@dataclass(frozen=True)
class Finding:
    """Something to know about the installation.

    Attributes:
        what: what was found, in one line.
        advice: what to do about it.
    """

    what: str
    advice: str


@dataclass(frozen=True)
class Threads:
    """How many CPU threads are used, and why.

    Attributes:
        used: by default.
        affinity: cores this process may be scheduled on.
        quota: cores that its control groups (cgroups) grant; None for no limit.
    """

    used: int
    affinity: int
    quota: float | None


@dataclass(frozen=True)
class SelfTest:
    """What the universal metric said on one device.

    Attributes:
        identical: its distance between an image and itself; must be 0.
        changed: its distance between that image and its negative; must be above 0.
    """

    identical: float
    changed: float


@dataclass(frozen=True)
class Diagnosis:
    """The state of an installation.

    Attributes:
        python: version of the interpreter.
        system: operating system and processor.
        versions: of this package and what it needs; None for what does not load.
        wheels: the installed packages that bring a module onnxruntime, with versions.
        providers: for each that onnxruntime offers, why it does not load; None if it does.
        threads: CPU threads.
        universal: SHA-256 of the embedded context file; None if it cannot be read.
        self_test: by device, ``cpu`` and, where it loads, ``cuda``.
        problems: what has to be repaired.
        notes: what is worth knowing, and no problem.
    """

    python: str
    system: str
    versions: dict[str, str | None]
    wheels: dict[str, str]
    providers: dict[str, str | None]
    threads: Threads
    universal: str | None
    self_test: dict[str, SelfTest]
    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def examine() -> Diagnosis:
    """Examine the installation that this interpreter uses. It takes a second or two."""
    problems: list[Finding] = []
    notes: list[Finding] = []
    versions: dict[str, str | None] = {PACKAGE: __version__}
    for name, module in MODULES.items():
        versions[name] = _module_version(module, problems)
    brought_by = metadata.packages_distributions()
    wheels = _versions_of(brought_by.get("onnxruntime", []))
    providers: dict[str, str | None] = {}
    self_test: dict[str, SelfTest] = {}
    digest = _check_universal(problems)
    if digest is not None:
        providers = _check_providers(problems, notes, wheels)
        if None not in versions.values():
            self_test = _check_measuring(problems, cuda=providers.get(CUDA, "") is None)
    _check_wheels(problems, notes, wheels, providers)
    readers = _versions_of(brought_by.get("cv2", []))
    if len(readers) > 1:
        problems.append(
            Finding(
                f"{_listed(readers)} overwrite each other's files",
                f"pip uninstall {' '.join(readers)}, then pip install opencv-python-headless",
            )
        )
    return Diagnosis(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        versions=versions,
        wheels=wheels,
        providers=providers,
        threads=Threads(available_threads(), affinity_cores(), cgroup_cores()),
        universal=digest,
        self_test=self_test,
        problems=problems,
        notes=notes,
    )


def describe(diagnosis: Diagnosis) -> list[str]:
    """Say a diagnosis in lines for people."""
    threads = diagnosis.threads
    quota = "none" if threads.quota is None else f"{threads.quota:g} cores"
    facts = [("Python", f"{diagnosis.python}, {diagnosis.system}")]
    facts += [(name, version or "does not load") for name, version in diagnosis.versions.items()]
    facts += [("runtime from", _listed(diagnosis.wheels) or "no package")]
    facts += [
        (name, "loads" if reason is None else f"does not load: {reason}")
        for name, reason in diagnosis.providers.items()
    ]
    facts += [
        (
            "CPU threads",
            f"{threads.used} (cores by affinity: {threads.affinity}, cgroup limit: {quota})",
        ),
        ("universal file", f"SHA-256 {diagnosis.universal or 'unknown'}"),
    ]
    facts += [
        (
            f"self test, {device}",
            f"identical images {result.identical:g}, negative {result.changed:.3g}",
        )
        for device, result in diagnosis.self_test.items()
    ]
    width = max(len(label) for label, _ in facts)
    lines = [f"{label.ljust(width)}  {text}" for label, text in facts]
    lines += [f"note: {note.what}: {note.advice}" for note in diagnosis.notes]
    lines += [f"problem: {problem.what}: {problem.advice}" for problem in diagnosis.problems]
    count = len(diagnosis.problems)
    lines.append("healthy" if diagnosis.healthy else f"{count} problem{'s' if count > 1 else ''}")
    return lines


def _module_version(name: str, problems: list[Finding]) -> str | None:
    """Import a module and return its version; None, and a problem, if that fails."""
    try:
        module = importlib.import_module(name)
        if name == "onnxruntime" and not hasattr(module, "InferenceSession"):
            raise ImportError("an empty folder is left of it")
    # A broken binary wheel raises anything.
    except Exception as error:
        what = f"{name} does not load ({_first_line(error)})"
        extra = "[cpu]" if name == "onnxruntime" else ""
        problems.append(Finding(what, f'pip install --force-reinstall "{PACKAGE}{extra}"'))
        return None
    try:
        # Not every package says it of itself.
        return str(getattr(module, "__version__", None) or metadata.version(name))
    except metadata.PackageNotFoundError:
        return "unknown"


def _versions_of(distributions: list[str]) -> dict[str, str]:
    return {name: metadata.version(name) for name in sorted(set(distributions))}


def _check_universal(problems: list[Finding]) -> str | None:
    """Hash the embedded file and hold it against what the installer wrote down, if it did."""
    repair = f"pip install --force-reinstall --no-deps {PACKAGE}"
    try:
        data = embedded.UNIVERSAL.read_bytes()
    except OSError as error:
        reason = f"the embedded metric cannot be read ({error.strerror})"
        problems.append(Finding(reason, repair))
        return None
    digest = hashlib.sha256(data).digest()
    recorded = _recorded_hash()
    # An installation that can be edited has no record of its files.
    if recorded is not None and recorded != base64.urlsafe_b64encode(digest).decode().rstrip("="):
        problems.append(Finding("the embedded metric is not the one that was installed", repair))
    return digest.hex()


def _recorded_hash() -> str | None:
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == embedded.UNIVERSAL.name and file.hash is not None:
            return file.hash.value
    return None


def _check_providers(
    problems: list[Finding], notes: list[Finding], wheels: dict[str, str]
) -> dict[str, str | None]:
    try:
        providers = probe_providers(read_model(embedded.UNIVERSAL.read_bytes()))
    except DpsError:
        # It has been told already, as a module that does not load.
        return {}
    if providers.get(CPU, "not offered") is not None:
        problems.append(
            Finding(
                f"{CPU} does not load ({providers.get(CPU, 'not offered')})",
                f"pip install --force-reinstall {' '.join(wheels) or 'onnxruntime'}",
            )
        )
    if providers.get(CUDA) is not None:
        problems.append(
            Finding(
                f"{CUDA} is offered and does not load ({providers[CUDA]})",
                "check the driver with nvidia-smi, and install the CUDA libraries with "
                f'pip install "{PACKAGE}[gpu]"; --device cpu works meanwhile',
            )
        )
    for name, reason in providers.items():
        if reason is not None and name not in (CPU, CUDA):
            notes.append(Finding(f"{name} does not load", "nothing to do: it is not used here"))
    return providers


def _check_wheels(
    problems: list[Finding],
    notes: list[Finding],
    wheels: dict[str, str],
    providers: dict[str, str | None],
) -> None:
    if len(wheels) > 1:
        problems.append(
            Finding(
                f"{_listed(wheels)} are installed at once and overwrite each other's files, so "
                "that CUDA is lost",
                f'pip uninstall {" ".join(wheels)}, then pip install "{PACKAGE}[gpu]" for an '
                f'NVIDIA GPU, or "{PACKAGE}[cpu]"',
            )
        )
    elif "onnxruntime-gpu" in wheels and providers and CUDA not in providers:
        problems.append(
            Finding(
                f"onnxruntime-gpu does not offer {CUDA}: its files were overwritten",
                "pip install --force-reinstall onnxruntime-gpu",
            )
        )
    if shutil.which("nvidia-smi") is not None and CUDA not in providers:
        notes.append(
            Finding(
                "there is an NVIDIA driver, and this onnxruntime cannot use it",
                f'for the GPU, pip uninstall onnxruntime, then pip install "{PACKAGE}[gpu]"',
            )
        )


def _check_measuring(problems: list[Finding], *, cuda: bool) -> dict[str, SelfTest]:
    """Measure with the embedded metric on each device that loads."""
    repair = f"pip install --force-reinstall {PACKAGE}, and report it if that does not help"
    results: dict[str, SelfTest] = {}
    for device in (Device.cpu, Device.cuda) if cuda else (Device.cpu,):
        try:
            result = _measure(device)
        # Whatever fails in the middle of a measurement is what a diagnosis is for.
        except Exception as error:
            reason = f"the self test on {device.value} fails ({_first_line(error)})"
            problems.append(Finding(reason, repair))
            continue
        results[device.value] = result
        if result.identical != 0:
            what = f"identical images are {result.identical:g} apart on {device.value}, expected 0"
            problems.append(Finding(what, repair))
        if not result.changed > 0:
            what = f"an image and its negative are {result.changed:g} apart on {device.value}"
            problems.append(Finding(what, repair))
    if len(results) == 2:
        cpu, gpu = results["cpu"].changed, results["cuda"].changed
        if abs(gpu - cpu) > AGREEMENT * cpu:
            what = f"CUDA measures {gpu:g} where the CPU measures {cpu:g}"
            problems.append(Finding(what, "use --device cpu, and report it"))
    return results


def _measure(device: Device) -> SelfTest:
    import numpy as np

    from dps_infer.compare.metric import Metric

    rows, columns = np.mgrid[0:96, 0:96]
    image = np.stack([rows * 2, columns * 2, (rows * columns) % 256], axis=2).astype(np.uint8)
    metric = Metric.universal(
        importances=dict.fromkeys(("color", "blur", "other"), 1.0), device=device
    )
    same, changed = metric.compare_batch(image, [image, 255 - image])
    return SelfTest(same.distance, changed.distance)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _listed(versions: dict[str, str]) -> str:
    return " and ".join(f"{name} {version}" for name, version in versions.items())
