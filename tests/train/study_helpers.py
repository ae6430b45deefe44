"""A study of seconds, and a program that kills one at random moments."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

from dps_train.fit.settings import Settings
from dps_train.study.plan import Study

TINY = Study(
    rankings=2,
    variants=("baseline", "lin", "additive", "tune"),
    comparisons=(None,),
    backbones=("embedded",),
    weights={},
    repetitions=1,
    bapps=None,
    common=Settings(size=32, pairs=20, epochs=1, steps=2, device="cpu"),
)


def tiny_study(data: Path, **common: object) -> Study:
    settings = dataclasses.replace(TINY.common, data=str(data), **common)
    return dataclasses.replace(TINY, common=settings)


def with_few_draws(module: ModuleType) -> functools.partial:
    """Return the function that fits linear heads, with few draws."""
    return functools.partial(module.draw_lin_bank, crops=64, draws=1)


def tables(folder: Path) -> dict[str, bytes]:
    """Return the files that must be the same, bit for bit, however often a study was killed."""
    return {name: (folder / name).read_bytes() for name in ("table.csv", "table.parquet")}


def _kill_again_and_again(data: Path, folder: Path, weights: list[Path], kills: int) -> None:
    """Run a study in one go, and another with kills at random moments; print how it went."""
    # Imported once before the forks, not in every child.
    importlib.import_module("lightning.fabric")
    importlib.import_module("pyarrow.parquet")
    from train_helpers import instead_of_the_real, measured_quickly

    from dps_train.study import run_job
    from dps_train.study.run_study import run_study

    kept = contextlib.ExitStack()
    kept.enter_context(instead_of_the_real(tuple(weights)))
    kept.enter_context(measured_quickly())
    run_job.draw_lin_bank = with_few_draws(run_job)
    study = dataclasses.replace(tiny_study(data), rankings=1)

    def start(name: str) -> int:
        child = os.fork()
        if child == 0:
            run_study(study, folder / name)
            os._exit(0)
        return child

    began = time.monotonic()
    assert os.waitpid(start("whole"), 0)[1] == 0
    took = time.monotonic() - began
    found = []
    # Early ones first: later the study is done with more, and there is more to lose.
    for moment in sorted(random.Random(0).choices(range(60), k=kills)):
        child = start("killed")
        time.sleep(took * moment / 100)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found.append(len(list((folder / "killed" / "metrics").glob("[!.]*.json"))))
    assert os.waitpid(start("killed"), 0)[1] == 0
    print(json.dumps({"seconds": took, "done when killed": found}))


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:6]]
    _kill_again_and_again(paths[0], paths[1], paths[2:], int(sys.argv[6]))
