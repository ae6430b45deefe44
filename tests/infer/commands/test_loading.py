"""The first moments of a command line."""

from pathlib import Path

import pytest

from dps_infer.commands.shared.process import start, was_interrupted
from dps_infer.errors import DeviceError


@pytest.mark.parametrize(
    "body",
    [
        "raise KeyboardInterrupt",
        "raise ImportError('initialization failed') from KeyboardInterrupt()",
    ],
)
def test_ctrl_c_while_modules_load_ends_quietly(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"slow_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as leaving:
        start(name)
    assert leaving.value.code == 130


def test_other_faults_of_loading_are_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("raise ImportError('no such thing')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="no such thing"):
        start("broken_module")


def test_the_result_of_main_is_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fine_module.py").write_text("def main(): return 7")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as leaving:
        start("fine_module")
    assert leaving.value.code == 7


def test_only_a_cause_counts_as_an_interruption() -> None:
    error = DeviceError("does not load")
    error.__cause__ = ImportError("initialization failed")
    assert not was_interrupted(error)
    error.__cause__.__cause__ = KeyboardInterrupt()
    assert was_interrupted(error)
    # What fails while an interrupted command tidies up is an error of its own.
    error = DeviceError("cannot save")
    error.__context__ = KeyboardInterrupt()
    assert not was_interrupted(error)
