"""The memory that runs of context files from strangers may take."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from infer_helpers import make_model, python, write
from onnx import helper, numpy_helper

from dps_infer.runtime.memory import SHARE_OF_RUNS, memory_for_runs


def test_half_of_the_containers_memory(tmp_path):
    (tmp_path / "memory.max").write_text(f"{1 << 20}\n")
    assert memory_for_runs(tmp_path) == int(SHARE_OF_RUNS * (1 << 20))
    (tmp_path / "memory.max").write_text("max\n")
    whole = memory_for_runs(tmp_path)
    assert whole is None or whole > 1 << 20
    assert memory_for_runs(tmp_path / "none") == whole


def growing() -> onnx.ModelProto:
    """The fake metric, which also makes the images larger by a factor that follows from them."""
    model = make_model()
    nodes = [
        helper.make_node("Shape", ["difference"], ["sides"]),
        helper.make_node("Mul", ["sides", "factors"], ["more"]),
        helper.make_node("Reshape", ["difference", "flat"], ["line"]),
        helper.make_node("ReduceMax", ["line"], ["one"], keepdims=0),
        helper.make_node("Expand", ["one", "more"], ["grown"]),
        helper.make_node("ReduceMean", ["grown"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["absolute", "nothing"], ["heavy"]),
    ]
    for node in model.graph.node:
        node.input[:] = ["heavy" if name == "absolute" else name for name in node.input]
    place = 1 + [node.op_type for node in model.graph.node].index("Abs")
    rest = list(model.graph.node)[place:]
    del model.graph.node[place:]
    model.graph.node.extend([*nodes, *rest])
    for name, value in (
        ("factors", np.array([1, 1000, 1000, 1])),
        ("flat", np.array([-1])),
        ("zero", np.float32(0)),
    ):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return model


@pytest.mark.skipif(memory_for_runs() is None, reason="this system does not tell its memory")
def test_a_run_that_takes_too_much_fails_in_a_line(tmp_path):
    path = write(tmp_path / "a.onnx", growing())
    done = python(
        "-c",
        "import sys\n"
        "from dps_infer import Metric\n"
        "from dps_infer.errors import ContextError\n"
        "try:\n"
        "    Metric.load(sys.argv[1], device='cpu', threads=1)\n"
        "except ContextError as error:\n"
        "    print(error)\n",
        str(path),
    )
    assert done.returncode == 0, done.stderr
    assert "could not be run by onnxruntime" in done.stdout
    assert "Available memory of" in done.stdout
