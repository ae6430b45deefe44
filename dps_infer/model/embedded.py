"""The context file that comes with the package: a universal one, trained once for every context."""

from __future__ import annotations

from pathlib import Path

UNIVERSAL = Path(__file__).with_name("universal.onnx")

SHA256 = UNIVERSAL.with_name("universal.onnx.sha256").read_text(encoding="ascii").strip()
"""Hash of the file's bytes, written with it. A file with this hash is not inspected again."""
