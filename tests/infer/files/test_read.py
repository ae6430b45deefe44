"""Files made by others are read up to a limit, or refused in one line."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from dps_infer.errors import ImageError
from dps_infer.files.read import MEBIBYTE, read_bytes


def read(path) -> bytes:
    return read_bytes(path, expected="an image", limit=MEBIBYTE, error=ImageError)


def refusal(path) -> str:
    with pytest.raises(ImageError) as refused:
        read(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    return message


def test_a_file_is_read_up_to_the_limit(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(MEBIBYTE))
    assert read(path) == bytes(MEBIBYTE)
    path.write_bytes(bytes(MEBIBYTE + 1))
    assert "at most 1 MiB" in refusal(path)


def test_unreadable_files_are_refused(tmp_path):
    path = tmp_path / "a"
    assert "no such file" in refusal(path)
    assert "is a folder" in refusal(tmp_path)
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    assert "cannot be read" in refusal(path / "b")
    assert "cannot be read" in refusal("a\0b")


def test_forbidden_files_are_refused(tmp_path, monkeypatch):
    def forbidden(self, mode):
        raise PermissionError(13, "Permission denied")

    # The tests may run as a user who can read everything.
    monkeypatch.setattr(Path, "open", forbidden)
    assert "no permission to read it" in refusal(tmp_path / "a")
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("size", [0, 10, MEBIBYTE, MEBIBYTE + 1])
def test_pipes_are_read_up_to_the_limit(tmp_path, size):
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def feed():
        with contextlib.suppress(BrokenPipeError):
            path.write_bytes(bytes(size))

    feeder = threading.Thread(target=feed)
    feeder.start()
    if size == 0:
        assert "nothing could be read" in refusal(path)
    elif size > MEBIBYTE:
        assert "at most 1 MiB" in refusal(path)
    else:
        assert read(path) == bytes(size)
    feeder.join()
