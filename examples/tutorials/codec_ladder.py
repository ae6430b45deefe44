"""Compress a photograph with several codecs and qualities, and list the pairs with their bytes.

Writes ``ladder/pairs.csv`` with the columns reference, candidate, codec, quality and bytes.
docs/tutorials/codec-ladder.md compares them: ``python examples/tutorials/codec_ladder.py``.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2

PHOTOGRAPH = Path(__file__).parents[1] / "images" / "reference.jpg"
QUALITIES = (90, 70, 50, 30, 15, 5)
CODECS = {"jpeg": (".jpg", cv2.IMWRITE_JPEG_QUALITY), "webp": (".webp", cv2.IMWRITE_WEBP_QUALITY)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("ladder"))
    output: Path = parser.parse_args().output
    output.mkdir(parents=True)
    photograph = cv2.imread(str(PHOTOGRAPH))
    assert photograph is not None
    cv2.imwrite(str(output / "photograph.png"), photograph)
    rows: list[tuple[object, ...]] = []
    for codec, (suffix, option) in CODECS.items():
        for quality in QUALITIES:
            path = output / f"{codec}-{quality}{suffix}"
            cv2.imwrite(str(path), photograph, [option, quality])
            rows.append(("photograph.png", path.name, codec, quality, path.stat().st_size))
    with (output / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        header = ("reference", "candidate", "codec", "quality", "bytes")
        csv.writer(file).writerows([header, *rows])
    print(f"{len(rows)} pairs written to {output}")


if __name__ == "__main__":
    main()
