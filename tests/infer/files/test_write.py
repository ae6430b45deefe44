"""Outputs appear complete under their final name, or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dps_infer.errors import OutputError
from dps_infer.files.write import atomic_file, atomic_folder, check_output, sha256_file


class Broken(Exception):
    """Raised by a test while it writes."""


def write_file(path: Path, text: str = "new", *, force: bool = False, fail: bool = False) -> None:
    with atomic_file(path, force=force) as temporary:
        temporary.write_text(text)
        if fail:
            raise Broken


def write_folder(path: Path, text: str = "new", *, force: bool = False, fail: bool = False) -> None:
    with atomic_folder(path, force=force) as temporary:
        (temporary / "inside").write_text(text)
        if fail:
            raise Broken


def content(path: Path) -> str:
    return (path / "inside").read_text() if path.is_dir() else path.read_text()


@pytest.fixture(params=[write_file, write_folder], ids=["file", "folder"])
def write(request):
    return request.param


@pytest.fixture
def unprivileged(tmp_path, monkeypatch):
    """Run as a user without special permissions, in a folder of that user."""
    if os.name != "posix" or not hasattr(os, "setresuid"):
        pytest.skip("permissions are tested on Linux")
    monkeypatch.chdir(tmp_path)
    if os.getuid() != 0:
        yield
        return
    os.chown(tmp_path, 65534, 65534)
    try:
        os.setresuid(65534, 65534, 0)
    except PermissionError:
        pytest.skip("this root may not become another user")
    yield
    os.setresuid(0, 0, 0)


def refusal(action, path: Path, **options: bool) -> str:
    with pytest.raises(OutputError) as caught:
        action(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert caught.value.exit_code == 1
    return message


# --- success --------------------------------------------------------------------------


def test_the_output_appears_and_nothing_else_is_left(write, tmp_path):
    write(tmp_path / "out")
    assert content(tmp_path / "out") == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_missing_parents_are_made(write, tmp_path):
    write(tmp_path / "a" / "b" / "out")
    assert content(tmp_path / "a" / "b" / "out") == "new"


def test_a_relative_name_is_in_the_current_folder(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("out"))
    assert content(tmp_path / "out") == "new"


def test_the_final_name_is_absent_during_writing(tmp_path):
    with atomic_file(tmp_path / "out.png") as temporary:
        assert not (tmp_path / "out.png").exists()
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        temporary.write_text("new")
    with atomic_folder(tmp_path / "out") as temporary:
        assert not (tmp_path / "out").exists()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_file(tmp_path / "file")
        write_folder(tmp_path / "folder")
    finally:
        after = os.umask(before)
    assert after == mask
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~mask


def test_an_existing_output_is_replaced_with_force(write, tmp_path):
    write(tmp_path / "out", "old")
    if (tmp_path / "out").is_dir():
        (tmp_path / "out" / "stale").write_text("part of the old folder")
    write(tmp_path / "out", force=True)
    assert content(tmp_path / "out") == "new"
    assert not (tmp_path / "out" / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# --- failure --------------------------------------------------------------------------


def test_an_exception_inside_leaves_nothing(write, tmp_path):
    with pytest.raises(Broken):
        write(tmp_path / "out", fail=True)
    assert list(tmp_path.iterdir()) == []


def test_an_exception_inside_leaves_the_old_output_unchanged(write, tmp_path):
    write(tmp_path / "out", "old")
    with pytest.raises(Broken):
        write(tmp_path / "out", force=True, fail=True)
    assert content(tmp_path / "out") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_interruption_inside_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "out"):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "out"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rename_leaves_only_the_old_output(write, tmp_path, monkeypatch):
    write(tmp_path / "out", "old")
    rename = os.rename

    def full(source, target):
        if Path(target) == tmp_path / "out" and ".part" in str(source):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", full)
    monkeypatch.setattr(os, "replace", full)
    assert "No space left" in refusal(write, tmp_path / "out", force=True)
    assert content(tmp_path / "out") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_existing_output_is_refused_before_anything_is_written(write, tmp_path):
    write(tmp_path / "out", "old")
    message = refusal(write, tmp_path / "out")
    assert "exists already" in message
    assert "--force" in message
    assert content(tmp_path / "out") == "old"


def test_an_output_that_appears_in_the_meantime_is_not_overwritten(tmp_path):
    # If two commands have the same output, the slower one must not destroy the other's work.
    for name, write in (("file", write_file), ("folder", write_folder)):
        path = tmp_path / name

        def slower(path=path, write=write):
            with (atomic_file if write is write_file else atomic_folder)(path):
                write(path, "the faster one's")

        with pytest.raises(OutputError):
            slower()
        assert content(path) == "the faster one's"


def test_a_file_never_replaces_a_folder_nor_a_folder_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    assert "folder of that name" in refusal(write_file, tmp_path / "folder", force=True)
    assert "file of that name" in refusal(write_folder, tmp_path / "file", force=True)
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("below", ["out", "a/out"])
def test_a_parent_that_is_a_file_is_refused(write, tmp_path, below):
    (tmp_path / "file").write_text("old")
    for action in (write, check_output):
        assert "is not a folder" in refusal(action, tmp_path / "file" / below)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_name_that_is_too_long_is_refused(write, tmp_path):
    for action in (write, check_output):
        assert "cannot write" in refusal(action, tmp_path / ("n" * 300))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_write_permission_is_refused(unprivileged, write):
    Path("locked").mkdir()
    Path("locked").chmod(0o500)
    for action in (write, check_output):
        assert "ermission" in refusal(action, Path("locked/out"))
        assert "ermission" in refusal(action, Path("locked/a/out"))
    assert list(Path("locked").iterdir()) == []


def test_a_folder_without_any_permission_is_refused(unprivileged, write):
    Path("locked").mkdir()
    Path("locked").chmod(0)
    for action in (write, check_output):
        assert "ermission" in refusal(action, Path("locked/out"))


def test_check_output_accepts_writable_outputs(tmp_path):
    check_output(tmp_path / "out")
    check_output(tmp_path / "a" / "b" / "out")
    (tmp_path / "out").write_text("old")
    check_output(tmp_path / "out", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


KILLED = """
import sys, time
from pathlib import Path
from dps_infer.files import write

with getattr(write, sys.argv[1])(Path(sys.argv[2]), force=sys.argv[3] == "force") as temporary:
    path = temporary / "inside" if temporary.is_dir() else temporary
    path.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
@pytest.mark.parametrize("old", [False, True], ids=["new", "replacing"])
def test_a_killed_writer_leaves_no_final_name(write, tmp_path, old):
    path = tmp_path / "out"
    if old:
        write(path, "old")
    kind = "atomic_file" if write is write_file else "atomic_folder"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, kind, str(path), "force" if old else "new"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    if old:
        assert content(path) == "old"
    else:
        assert not path.exists()
    leftovers = [found.name for found in tmp_path.iterdir() if found != path]
    assert len(leftovers) == 1
    assert leftovers[0].startswith(".")
    assert ".part" in leftovers[0]
    # The next writer of the same output clears them away, and touches nothing else.
    other = tmp_path / ".out-of-place.part"
    other.write_text("no leftover")
    write(path, force=old)
    assert content(path) == "new"
    assert sorted(tmp_path.iterdir()) == sorted([path, other])


@pytest.mark.skipif(os.name != "posix", reason="there are no locks")
def test_a_writer_that_still_runs_keeps_its_part(write, tmp_path):
    path = tmp_path / "out"
    kind = "atomic_file" if write is write_file else "atomic_folder"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, kind, str(path), "new"], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        write(path)
        assert len(list(tmp_path.iterdir())) == 2
        process.kill()


def test_a_folder_that_a_killed_process_moved_aside_comes_back(tmp_path):
    path = tmp_path / "out"
    aside = tmp_path / ".out-abcdefgh.old"
    write_folder(aside / "out", "old")
    with pytest.raises(OutputError, match="exists already"):
        check_output(path, folder=True)
    assert content(path) == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["out"]


def test_an_input_is_never_replaced(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("input")
    (tmp_path / "link.csv").symlink_to(path)
    os.link(path, tmp_path / "hard.csv")
    for name in ("a.csv", "link.csv", "hard.csv", "../" + tmp_path.name + "/a.csv"):
        with pytest.raises(OutputError, match="is an input of this command"):
            check_output(tmp_path / name, force=True, inputs=[None, path])
    check_output(tmp_path / "b.csv", force=True, inputs=[path, tmp_path / "missing"])


def test_a_folder_with_an_input_inside_is_never_replaced(tmp_path):
    (tmp_path / "out" / "videos").mkdir(parents=True)
    video = tmp_path / "out" / "videos" / "a.mp4"
    video.write_bytes(b"input")
    with pytest.raises(OutputError, match=r"it contains .*a\.mp4"):
        check_output(tmp_path / "out", force=True, folder=True, inputs=[video])
    check_output(tmp_path / "other", force=True, folder=True, inputs=[video])


def test_files_in_a_folder_are_readable_for_others(tmp_path):
    before = os.umask(0o022)
    try:
        with atomic_folder(tmp_path / "out") as temporary:
            (temporary / "inside").mkdir(mode=0o700)
            for file in (temporary / "a", temporary / "inside" / "b"):
                file.write_text("written by a library as 0600")
                file.chmod(0o600)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(p.stat().st_mode) for p in sorted((tmp_path / "out").rglob("*"))]
    assert modes == [0o644, 0o755, 0o644]


def test_a_file_system_without_links_serves_as_well(tmp_path, monkeypatch):
    def no_links(source, target):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write_file(tmp_path / "out")
    assert content(tmp_path / "out") == "new"
    with pytest.raises(OutputError), atomic_file(tmp_path / "other"):
        (tmp_path / "other").write_text("the faster one's")
    assert content(tmp_path / "other") == "the faster one's"


def test_sha256_of_a_file(tmp_path):
    data = os.urandom((1 << 20) + 7)
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()
