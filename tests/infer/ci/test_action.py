"""`action.yml`: its shell steps, run one after another as GitHub's runner would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from infer_helpers import encode
from junit_helpers import check_junit

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[3]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None or os.name != "posix", reason="bash")

# Installing needs a network: this Python stands in for one that makes environments.
PYTHON = """#!/bin/bash
[ "$1 $2" = "-m venv" ] || exit 9
mkdir -p "$3/bin"
printf '#!/bin/bash\\necho "$@" >"{log}"\\n' >"$3/bin/pip"
printf '#!/bin/bash\\nexec "{python}" -m dps_infer.cli "$@"\\n' >"$3/bin/dps-infer"
chmod +x "$3/bin/"*
"""


class Runner:
    """Runs the steps in a folder, the checkout of a project."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "check out"
        self.temp = folder / "temp dir"
        self.summary, self.output = folder / "summary.md", folder / "output"
        self.installed = folder / "installed"
        programs = folder / "programs"
        for path in (self.checkout, self.temp, programs):
            path.mkdir()
        python = programs / "python3"
        python.write_text(PYTHON.format(log=self.installed, python=sys.executable))
        python.chmod(0o755)
        self.path = f"{programs}{os.pathsep}{os.environ['PATH']}"

    def run(self, **inputs: str) -> tuple[int, str]:
        """Run until a step fails; return its exit code and everything that was printed."""
        given = {key.replace("_", "-"): value for key, value in inputs.items()}
        values = {f"inputs.{key}": one.get("default") for key, one in ACTION["inputs"].items()}
        values |= {f"inputs.{key}": value for key, value in given.items()}
        values |= {"github.action_path": str(ROOT), "runner.temp": str(self.temp)}
        printed = ""
        for step in STEPS:
            if "uses" in step:
                assert self.evaluate(step["with"]["path"], values) == str(self.results)
                continue
            assert step["shell"] == "bash"
            self.output.write_text("")
            environment = {k: self.evaluate(v, values) for k, v in step.get("env", {}).items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self.checkout,
                capture_output=True,
                text=True,
                check=False,
                env={
                    **os.environ,
                    "PATH": self.path,
                    "GITHUB_OUTPUT": str(self.output),
                    "GITHUB_STEP_SUMMARY": str(self.summary),
                    "GITHUB_WORKSPACE": str(self.checkout),
                    "OMP_NUM_THREADS": "1",
                    **environment,
                },
            )
            printed += done.stdout + done.stderr
            for line in self.output.read_text().splitlines():
                name, _, value = line.partition("=")
                values[f"steps.{step['id']}.outputs.{name}"] = value
            if done.returncode:
                return done.returncode, printed
        return 0, printed

    @property
    def results(self) -> Path:
        return self.temp / "dps-toolkit" / "results"

    @staticmethod
    def evaluate(text: Any, values: dict[str, Any]) -> str:
        return EXPRESSION.sub(lambda match: str(values[match[1]]), str(text))


@pytest.fixture
def runner(tmp_path):
    runner = Runner(tmp_path)
    gray = np.full((64, 64, 3), 100, np.uint8)
    for folder, step in (("base", 0), ("new", 60)):
        (runner.checkout / folder).mkdir()
        for name, own in (("a.png", 0), ("b.png", step)):
            pixels = gray + np.array([0, own, 0], np.uint8)
            (runner.checkout / folder / name).write_bytes(encode(".png", pixels))
    return runner


def test_no_script_contains_an_expression():
    for step in STEPS:
        assert "${{" not in step.get("run", "")
        assert ("run" in step) != ("uses" in step)
    used = set(EXPRESSION.findall((ROOT / "action.yml").read_text("utf-8")))
    inputs = {name.removeprefix("inputs.") for name in used if name.startswith("inputs.")}
    assert inputs == set(ACTION["inputs"])


def test_what_differs_fails_the_job_after_the_report(runner):
    code, printed = runner.run(
        references="base", candidates="new", context_name="general", threshold="0.01"
    )
    assert code == 3, printed
    assert runner.installed.read_text().split() == ["install", "--quiet", f"{ROOT}[cpu]"]
    assert re.search(r"^::error file=base/b\.png,title=b\.png%3A failed::", printed, re.MULTILINE)
    assert "2 pairs: 1 failed, 1 passed" in runner.summary.read_text()
    found = {path.name for path in runner.results.iterdir()}
    assert found == {"junit.xml", "report.html", "results.csv"}
    check_junit(runner.results / "junit.xml")
    assert "cannot be shown" not in printed
    # A second use in the same job starts over.
    (runner.checkout / "dps.toml").write_text('context-name = "general"\nthreshold = 9\n')
    code, printed = runner.run(references="base", candidates="new")
    assert code == 0, printed
    assert "2 passed" in runner.summary.read_text()


@pytest.mark.parametrize(
    ("inputs", "code"),
    [({"candidates": "none"}, 1), ({"gate": "best"}, 2), ({"config": "no.toml"}, 1)],
)
def test_what_breaks_stops_the_job(runner, inputs, code):
    how = {"references": "base", "candidates": "new", "context_name": "general", **inputs}
    got, printed = runner.run(**how)
    assert got == code, printed
    assert not (runner.results / "report.html").exists()


def test_inputs_are_never_run(runner):
    evil = "--x$(touch pwned)`touch pwned`\"; touch pwned; '#"
    shutil.move(runner.checkout / "new", runner.checkout / evil)
    code, printed = runner.run(references="base", candidates=evil, ranking=evil, config=evil)
    assert code == 1, printed
    code, printed = runner.run(references="base", candidates=evil, context_name="general")
    assert code == 0, printed
    assert sorted(path.name for path in runner.checkout.iterdir()) == sorted(["base", evil])
