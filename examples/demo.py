"""The main workflow on photographs: compare in a context; then adapt, export and compare again.

One copy of a photograph is shifted, another one blurred. To a fixed metric the shift is the larger
change. In a context where a shift barely matters and blur matters most, the blur is: with the
packaged metric, which needs no training, and with a metric adapted to images. Run it with
``make demo``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dps_train.data.contact_sheet import labeled_row, save_sheet
from dps_train.data.sources import photograph
from dps_train.fit.run_folder import load_run

RANKING = "3,1,5,0,2,4"
SIDE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    run, context = folder / "run", folder / "ctx.onnx"
    files = {name: folder / f"{name}.png" for name in ("reference", "shifted", "blurred")}
    images = draw_images()
    for name, path in files.items():
        save_sheet(images[name], path, force=True)

    for name in ("shifted", "blurred"):
        compare(files["reference"], files[name], "--ranking", RANKING)
    call("dps-train", "--ranking", RANKING, "--out", str(run), "--force")
    call("dps-export", str(run), "-o", str(context), "--force")
    adapted = {
        name: compare(files["reference"], files[name], "--context", str(context))
        for name in ("shifted", "blurred")
    }
    unadapted = unadapted_distances(run, images)

    captions = ["unadapted -> adapted"] + [
        f"{name} {unadapted[name]:.1f} -> {adapted[name]:.2f}" for name in ("shifted", "blurred")
    ]
    sheet = labeled_row("distance", list(images.values()), captions)
    save_sheet(sheet, folder / "sheet.png", force=True)
    print(f"\nThe context: color < translate < zoom < rotate < darken < blur ({RANKING})")
    print("             shifted   blurred   the larger change is")
    for title, distances in (("unadapted", unadapted), ("adapted", adapted)):
        larger = max(distances, key=distances.__getitem__)
        print(f"{title:11}{distances['shifted']:9.3f}{distances['blurred']:10.3f}   {larger}")
    print(f"Contact sheet: {folder / 'sheet.png'}; context file: {context}")
    if max(unadapted, key=unadapted.__getitem__) == max(adapted, key=adapted.__getitem__):
        sys.exit("The order did not change. This is a defect: please report it.")


def draw_images() -> dict[str, NDArray[np.uint8]]:
    """Return the reference and its two changed copies, uint8 RGB [H, W, 3]."""
    cat = photograph("chelsea")
    reference = np.ascontiguousarray(cat[20 : 20 + SIDE, 100 : 100 + SIDE])
    shift = np.array([[1, 0, 24], [0, 1, 12]], dtype=np.float32)
    return {
        "reference": reference,
        "shifted": cv2.warpAffine(reference, shift, (SIDE, SIDE)),
        "blurred": cv2.GaussianBlur(reference, (0, 0), sigmaX=6),
    }


def unadapted_distances(run: Path, images: dict[str, NDArray[np.uint8]]) -> dict[str, float]:
    """Return the plain sum of feature differences of the same network, which knows no context."""
    metric, _ = load_run(run)
    reference, *others = (torch.from_numpy(image)[None] for image in images.values())
    with torch.no_grad():
        first, second = metric.features(reference, torch.cat(others))
        distances = metric.head.total(metric.comparison(first, second))
    return dict(zip(list(images)[1:], distances.tolist(), strict=True))


def compare(reference: Path, distorted: Path, *context: str) -> float:
    """Compare two files with ``dps-infer``, and return the distance."""
    arguments = ("compare", str(reference), str(distorted), *context)
    call("dps-infer", *arguments)
    answer = call("dps-infer", *arguments, "--json", show=False)
    return float(json.loads(answer)["distance"])


def call(*command: str, show: bool = True) -> str:
    """Run a command, and return its standard output."""
    if show:
        print(f"\n$ {shlex.join(command)}", flush=True)
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"{command[0]} failed with exit code {result.returncode}")
    if show:
        print(result.stdout, end="", flush=True)
    return result.stdout


if __name__ == "__main__":
    main()
