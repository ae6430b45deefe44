"""The universal context file that comes with the package."""

from __future__ import annotations

from pathlib import Path

UNIVERSAL = Path(__file__).with_name("universal.onnx")
"""A metric that was trained once for every context, and takes its context at run time."""
