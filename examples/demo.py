"""The main workflow on a photograph: adapt a metric to a context, export it, compare with it.

One copy of a photograph is shifted, another one blurred. Where all kinds of change count alike, the
shift is the larger change. In a context where a shift barely matters and blur matters most, the
blur is. Ends with a page that shows both side by side. Run it with ``make demo``.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dps_infer import Metric
from dps_infer.demo.page import View, build_page, make_view, turns_round
from dps_infer.show.heatmap import save_picture
from dps_train.data.sources import photograph

RANKING = "3,1,5,0,2,4"
SIDE = 256
SHIFT = (24, 12)
SIGMA = 4
CAPTIONS = {
    "reference": "the original",
    "shifted": f"moved by {SHIFT[0]} and {SHIFT[1]} px",
    "blurred": f"sigma {SIGMA} px",
}
BEFORE = "All kinds of change count alike: the distance of the metric as it comes."
AFTER = (
    "Adapted to the ranking color < translate < zoom < rotate < darken < blur: blur matters most."
)

Image = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    run, context, page = folder / "run", folder / "ctx.onnx", folder / "demo.html"
    pictures = draw_pictures()
    for name, pixels in pictures.items():
        save_picture(pixels, folder / f"{name}.png", force=True)

    call("dps-train", "--ranking", RANKING, "--out", str(run), "--force")
    call("dps-export", str(run), "-o", str(context), "--force")
    files = [str(folder / f"{name}.png") for name in pictures]
    call("dps-infer", "compare", *files, "--context", str(context))

    views = (
        view("before", BEFORE, Metric.universal(importances={"size": 1.0}), pictures),
        view("after", AFTER, Metric.load(context), pictures),
    )
    title = "Which copy differs more from the photograph?"
    page.write_bytes(build_page(title, pictures, views, captions=CAPTIONS))
    print(f"\n{title}")
    for one in views:
        print(f"{one.title + ':':8}{one.verdict()}")
    print(f"Side by side, with heat maps: {page}; context file: {context}")
    if not turns_round(views):
        sys.exit("The order did not change. This is a defect: please report it.")


def draw_pictures() -> dict[str, Image]:
    """Return the reference and its two changed copies, uint8 RGB [H, W, 3]."""
    cat = photograph("chelsea")
    reference = np.ascontiguousarray(cat[20 : 20 + SIDE, 100 : 100 + SIDE])
    matrix = np.array([[1, 0, SHIFT[0]], [0, 1, SHIFT[1]]], dtype=np.float32)
    shifted = cv2.warpAffine(reference, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    return {
        "reference": reference,
        "shifted": np.asarray(shifted, np.uint8),
        "blurred": np.asarray(cv2.GaussianBlur(reference, (0, 0), sigmaX=SIGMA), np.uint8),
    }


def view(title: str, explanation: str, metric: Metric, pictures: dict[str, Image]) -> View:
    """Compare the changed copies with the reference by a metric."""
    reference = pictures["reference"]
    changed = {name: pixels for name, pixels in pictures.items() if name != "reference"}
    comparisons = {
        name: metric.compare(reference, pixels, with_map=True) for name, pixels in changed.items()
    }
    return make_view(title, explanation, metric, comparisons, pictures)


def call(*command: str) -> None:
    """Show a command and run it."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(f"{command[0]} failed with exit code {code}")


if __name__ == "__main__":
    main()
