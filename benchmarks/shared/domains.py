"""Images of two domains that no metric of this project was trained on."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from dps_infer.arrays import Pixels
from dps_train.data.sources import Images

THUMBNAIL, PAGE = 32, 256
TEXT = (
    "the quick brown fox jumps over a lazy dog while reading Perceptual metrics in context; "
    "rendering 2024 pages (with numbers) and Headings of all sorts"
)
PAGES_SEED = 5
"""The pages are the same in every run, as the photographs of a folder are."""


def thumbnails(photographs: Images) -> Images:
    """Return photographs shrunk to 32 x 32 pixels; the evaluation enlarges them again."""
    small = (
        np.asarray(
            cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA), np.uint8
        )
        for image in photographs.images
    )
    return Images("thumbnails", tuple(small))


def pages(count: int) -> Images:
    """Return pages of text in Pillow's own font, which the pretraining never draws."""
    generator = np.random.default_rng(PAGES_SEED)
    return Images("pages", tuple(_page(generator) for _ in range(count)))


def _page(generator: np.random.Generator) -> Pixels:
    """Draw a heading, perhaps a colored box, and lines of text."""
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
    return np.array(page)
