"""Make images of two domains that no metric here was trained on, as folders to evaluate on.

    python benchmarks/domains.py --data photographs --out domains
    dps-train evaluate embedded --rankings all --data domains/thumbnails
    dps-train evaluate embedded --rankings all --data domains/pages

Thumbnails are photographs shrunk to 32 x 32 pixels, which the evaluation enlarges again.
Pages are text in Pillow's own font, which the pretraining never draws.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from PIL import ImageDraw, ImageFont
from PIL import Pixels as Pillow

from dps_infer.files.write import atomic_folder
from dps_infer.images.decode import Pixels
from dps_train.data.sources import load_folder

THUMBNAIL, PAGE = 32, 256
TEXT = (
    "the quick brown fox jumps over a lazy dog while reading Perceptual metrics in context; "
    "rendering 2024 pages (with numbers) and Headings of all sorts"
)


def main(
    data: Annotated[Path, typer.Option(help="A folder of photographs.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("domains"),
    pages: Annotated[int, typer.Option(min=1, help="How many pages.")] = 60,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that exists.")] = False,
) -> None:
    """Write both folders."""
    generator = np.random.default_rng(5)
    with atomic_folder(out, force=force) as folder:
        for number, image in enumerate(load_folder(data).images):
            small = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
            _save(folder / "thumbnails" / f"{number:03}.png", small)
        for number in range(pages):
            _save(folder / "pages" / f"{number:03}.png", _page(generator))


def _page(generator: np.random.Generator) -> Pixels:
    """Draw a heading, maybe a coloured box, and lines of text."""
    words = TEXT.split()
    light = tuple(int(value) for value in 255 - generator.integers(0, 25, 3))
    dark, accent, fill = (
        tuple(int(value) for value in generator.integers(0, top, 3)) for top in (90, 255, 255)
    )
    page = Pillow.new("RGB", (PAGE, PAGE), light)
    draw = ImageDraw.Draw(page)
    size = int(generator.integers(9, 20))
    left, y = (int(value) for value in generator.integers(6, 30, 2))
    heading = " ".join(generator.choice(words, 3))
    draw.text((left, y), heading, font=ImageFont.load_default(size + 10), fill=accent)
    y += size + 18
    if generator.random() < 0.5:
        height = int(generator.integers(10, 60))
        draw.rectangle((left, y, PAGE - left, y + height), fill=fill)
        y += height + 6
    font = ImageFont.load_default(size)
    while y < PAGE - size:
        line = " ".join(generator.choice(words, int(generator.integers(2, 9))))
        draw.text((left, y), line, font=font, fill=dark)
        y += round(1.35 * size)
    return np.asarray(page)


def _save(path: Path, image: Pixels) -> None:
    path.parent.mkdir(exist_ok=True)
    Pillow.fromarray(image).save(path)


if __name__ == "__main__":
    typer.run(main)
