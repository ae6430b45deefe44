"""Helpers of the tests of exporting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

from dps_export import export
from dps_train.model.metric import Metric


@dataclass(frozen=True)
class Exported:
    """A context file, and the metric that it was made from."""

    path: Path
    metric: Metric
    universal: bool


@contextmanager
def already_frozen(model: onnx.ModelProto) -> Iterator[None]:
    """Let an export take a copy of a model that was traced before."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "freeze", lambda _metric: copy)
        yield
