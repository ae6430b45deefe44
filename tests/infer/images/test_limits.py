"""Files from strangers: time and memory follow from checked sizes."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import time
import zlib

import cv2
import numpy as np
import pytest
from infer_helpers import encode, make_png, with_exif
from tiff_files import DEFLATE, NONE, UNASSOCIATED, write_tiff

from dps_infer.errors import ImageError
from dps_infer.images.codec import decode
from dps_infer.images.decode import BYTES_PER_PIXEL, load_picture
from dps_infer.images.headers import read_header
from dps_infer.serve import Server, serve

MEBIBYTE = 1 << 20
PEAK = """
import sys
from pathlib import Path
from dps_infer.errors import DpsError
from dps_infer.images.decode import WHITE, composite, load_picture

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

def load(path):
    try:
        composite(load_picture(path, label=""), WHITE)
    except DpsError:
        pass

load(sys.argv[1])
before = peak()
load(sys.argv[2])
print(peak() - before)
"""
needs_proc = pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="reads the peak memory from /proc"
)


def peak_bytes(tmp_path, data: bytes, small: bytes) -> int:
    """Memory that decoding takes in a process that has decoded a small image before."""
    (tmp_path / "small").write_bytes(small)
    (tmp_path / "large").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / "small", tmp_path / "large"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


def image_of(kind: str, side: int) -> bytes:
    samples = np.arange(side * side * 4, dtype=np.uint32).reshape(side, side, 4)
    shallow, deep = (samples >> 6).astype(np.uint8), (samples * 251).astype(np.uint16)
    color = shallow[..., :3].copy()
    return {
        "png": lambda: encode(".png", color),
        "png 16-bit alpha": lambda: encode(".png", deep),
        "jpeg": lambda: with_exif(encode(".jpg", color), 6),
        "jpeg progressive": lambda: encode(".jpg", color, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "webp alpha": lambda: encode(".webp", shallow, cv2.IMWRITE_WEBP_QUALITY, 101),
        "bmp": lambda: encode(".bmp", color),
        "ppm 16-bit": lambda: encode(".ppm", deep[..., :3].copy()),
        "ppm text": lambda: b"P3 %d %d 255\n" % (side, side) + b"9 " * (3 * side * side),
        "tiff one strip": lambda: (
            write_tiff(deep, bits=16, compression=DEFLATE, extra=UNASSOCIATED, orientation=6).data
        ),
        "tiff raw": lambda: (
            write_tiff(deep, bits=16, compression=NONE, extra=UNASSOCIATED, orientation=6).data
        ),
    }[kind]()


@needs_proc
@pytest.mark.parametrize(
    "kind",
    [
        *("png", "png 16-bit alpha", "jpeg", "jpeg progressive", "webp alpha", "bmp"),
        *("ppm 16-bit", "ppm text", "tiff one strip", "tiff raw"),
    ],
)
def test_memory_follows_the_number_of_pixels(tmp_path, kind):
    side = 1400
    data = image_of(kind, side)
    taken = peak_bytes(tmp_path, data, image_of(kind, 16))
    # 8 MiB: what the allocator keeps, a seventh of the limit for the least image here.
    assert taken < BYTES_PER_PIXEL * side * side + 3 * len(data) + 8 * MEBIBYTE


def tags_everywhere(number: int, count: int) -> bytes:
    """EXIF data in which every tag claims many values."""
    entry = struct.pack("<HHII", 274, 3, count, 8)
    return b"II*\0" + struct.pack("<IH", 8, number) + entry * number + bytes(4)


JPEG = encode(".jpg", np.zeros((8, 8, 3), np.uint8))
EXIF_SEGMENT = b"\xff\xe1" + struct.pack(">H", 60_010) + b"Exif\0\0"
EXIF_SEGMENT += tags_everywhere(5000, 30_000)[:60_002]
PROFILE = b"a\0\0" + zlib.compress(bytes(1 << 28), 9)
ONE_DIRECTORY = struct.pack("<HHHIII", 1, 254, 4, 1, 1, 8)
BOMBS = {
    "fill bytes": b"\xff\xd8" + b"\xff" * MEBIBYTE,
    "jpeg markers": b"\xff\xd8" + b"\xff\xe0\0\2" * (MEBIBYTE // 4),
    "tiff tags": tags_everywhere(8000, 50_000),
    "tiff directories": b"II*\0" + struct.pack("<I", 8) + ONE_DIRECTORY,
    "exif tags": JPEG[:2] + EXIF_SEGMENT * 17 + JPEG[2:],
    "png chunks": make_png(1, 1, 8, 2, bytes(4), *[(b"teXt", b"")] * 80_000),
    "png profile": make_png(1, 1, 8, 2, bytes(4), (b"iCCP", PROFILE)),
    "png size": make_png(9000, 9000, 16, 6, bytes(9)),
    "webp chunks": b"RIFF" + struct.pack("<I", MEBIBYTE) + b"WEBP" + b"XXXX\0\0\0\0" * 131_072,
    "pnm comments": b"P6" + b"#\n" * (MEBIBYTE // 2),
    "pnm digits": b"P3 1000 1000 255\n" + b"1" * MEBIBYTE,
    "spaces": b" " * MEBIBYTE,
}


@needs_proc
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_harmless(tmp_path, name):
    """Each is at most 1 MiB; the worst ones took seconds, or gigabytes."""
    started = time.perf_counter()
    taken = peak_bytes(tmp_path, BOMBS[name], encode(".png", np.zeros((8, 8, 3), np.uint8)))
    # A process starts, and 1 MiB is read: a second is ten times what that takes.
    assert time.perf_counter() - started < 5
    assert taken < 64 * MEBIBYTE


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    """Opening a pipe would wait for its writer, for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ImageError, match="is a pipe or a device"):
            load_picture(path, label="")
    with pytest.raises(ImageError, match="is a folder"):
        load_picture(tmp_path, label="")
    with pytest.raises(ImageError, match="no such file"):
        load_picture(tmp_path / "absent", label="")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_serve_survives_a_pipe(tmp_path, context):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.png").write_bytes(encode(".png", np.zeros((8, 8, 3), np.uint8)))
    requests = [
        {
            "method": "compare",
            "reference": str(tmp_path / name),
            "candidate": str(tmp_path / "a.png"),
        }
        for name in ("pipe", "a.png")
    ]
    answers = io.BytesIO()
    lines = io.BytesIO(b"\n".join(json.dumps(request).encode() for request in requests))
    serve(Server({"fake": context}), lines, answers)
    first, second = [json.loads(line) for line in answers.getvalue().splitlines()][-2:]
    assert "is a pipe or a device" in first["error"]["message"]
    assert second["result"]["distance"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_decoding_process_can_decode():
    """A fork copies a lock that another thread holds, and the diverted stderr."""
    tiff = write_tiff(np.zeros((64, 64, 3), np.uint8), compression=DEFLATE).data
    stop = threading.Event()

    def keep_decoding():
        while not stop.is_set():
            decode(tiff, read_header(tiff))

    threads = [threading.Thread(target=keep_decoding) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    decode(tiff, read_header(tiff))
                    os.write(2, b"")
                    code = 0
                finally:
                    os._exit(code)
            deadline = time.monotonic() + 20
            ended, status = os.waitpid(child, os.WNOHANG)
            while not ended and time.monotonic() < deadline:
                time.sleep(0.01)
                ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                os.kill(child, 9)
                os.waitpid(child, 0)
            assert ended
            assert status == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
