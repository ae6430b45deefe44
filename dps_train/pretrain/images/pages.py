"""Pages of text and screenshots, rendered with OpenCV's fonts."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_train.pretrain.images.painting import Color, as_color, random_color, resized
from dps_train.pretrain.images.photographs import Photographs, photograph_crop

FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)

LETTERS = "eeeeeetttttaaaaoooiiinnnssshhhrrrdddlllcuummwfgypbvk"
"""About as frequent as in English, which determines the texture of a line."""

PAGE_SIDES = (1, 2, 3, 4)
"""Widths of a page in images before it is shrunk: from readable letters to gray lines."""


@dataclass(frozen=True)
class Ink:
    """Font, size and color of a line of text."""

    font: int
    scale: float
    color: Color
    thickness: int

    @property
    def line_height(self) -> float:
        """Pixels from one line to the next, without extra spacing."""
        return 28 * self.scale

    @property
    def letter_width(self) -> float:
        """Average pixels per letter; measured, as OpenCV's releases differ."""
        sample = "The quick brown fox jumps over the lazy dog"
        (width, _), _ = cv2.getTextSize(sample, self.font, self.scale, self.thickness)
        return max(1.0, width / len(sample))


def text_page(photographs: Photographs, side: int, rng: np.random.Generator) -> Pixels:
    """Render lines of words, headings, pictures and bars: uint8 RGB [side, side, 3]."""
    extent = side * int(rng.choice(PAGE_SIDES))
    paper, color = _paper_and_ink(rng)
    page = np.full((extent, extent, 3), paper, dtype=np.uint8)
    font = int(rng.choice(FONTS))
    ink = Ink(font, rng.uniform(0.25, 0.6), color, 2 if rng.random() < 0.3 else 1)
    spacing = rng.uniform(1, 6)
    margin = int(rng.uniform(2, 12))
    baseline = rng.uniform(0, 12)
    while baseline < extent:
        if rng.random() < 0.1:
            baseline += ink.line_height
        line = _varied(ink, rng)
        baseline += line.line_height + spacing
        _write(page, line, (margin, int(baseline)), _line_length(extent, rng), rng)
    if rng.random() < 0.35:
        _place_picture(page, photographs, rng)
    if rng.random() < 0.2:
        height = int(extent * rng.uniform(0.05, 0.2))
        cv2.rectangle(page, (0, 0), (extent, height), random_color(rng), -1)
    return resized(page, side)


def screenshot(photographs: Photographs, side: int, rng: np.random.Generator) -> Pixels:
    """Render a window with bars, panels, rows, buttons and pictures: uint8 RGB [side, side, 3]."""
    extent = side * int(rng.choice(PAGE_SIDES))
    paper, color = _paper_and_ink(rng)
    accent = random_color(rng)
    screen = np.full((extent, extent, 3), paper, dtype=np.uint8)
    ink = Ink(int(rng.choice(FONTS)), rng.uniform(0.3, 0.5), color, 1)
    left = _side_panel(screen, paper, ink, rng) if rng.random() < 0.5 else 0
    top = _title_bar(screen, accent, ink, rng) if rng.random() < 0.6 else 0
    while top < extent:
        height = int(rng.uniform(14, 44))
        _row(screen, (left, top), height, accent, ink, rng)
        top += height
    if rng.random() < 0.5:
        _place_picture(screen, photographs, rng)
    return resized(screen, side)


def _paper_and_ink(rng: np.random.Generator) -> tuple[Color, Color]:
    """Draw the colors of paper and letters: dark on light, or light on dark."""
    if rng.random() < 0.75:
        # Half of the light papers are nearly white.
        tint = rng.uniform(0, 40, 3) if rng.random() < 0.5 else rng.uniform(0, 6, 1).repeat(3)
        return as_color(255 - tint), random_color(rng, 0, 90)
    return random_color(rng, 0, 60), random_color(rng, 160, 255)


def _varied(ink: Ink, rng: np.random.Generator) -> Ink:
    """Return the ink of the next line: mostly unchanged, sometimes a heading or colored."""
    heading = rng.random() < 0.08
    color = random_color(rng) if rng.random() < 0.1 else ink.color
    scale = ink.scale * (1.8 if heading else 1)
    return Ink(ink.font, scale, color, 2 if heading else ink.thickness)


def _line_length(extent: int, rng: np.random.Generator) -> float:
    """Return the length of a line in pixels: most are full, some end early."""
    return extent * (rng.uniform(0.3, 0.95) if rng.random() < 0.3 else 1)


def _write(
    page: Pixels, ink: Ink, origin: tuple[int, int], length: float, rng: np.random.Generator
) -> None:
    """Write random words on the page, about `length` pixels of them."""
    text = _words(max(1, int(length / ink.letter_width)), rng)
    cv2.putText(page, text, origin, ink.font, ink.scale, ink.color, ink.thickness, cv2.LINE_AA)


def _words(count: int, rng: np.random.Generator) -> str:
    """Return `count` characters: words of 1 to 10 letters, capitals and numbers among them."""
    words: list[str] = []
    length = 0
    while length < count:
        letters = rng.choice(list(LETTERS), rng.integers(1, 11))
        word = "".join(letters)
        choice = rng.random()
        if choice < 0.15:
            word = word.capitalize()
        elif choice < 0.20:
            word = str(rng.integers(10_000))
        elif choice < 0.30:
            word += "."
        words.append(word)
        length += len(word) + 1
    return " ".join(words)[:count]


def _place_picture(page: Pixels, photographs: Photographs, rng: np.random.Generator) -> None:
    """Put a square photograph, or a box of one color, at a random place on the page."""
    side = int(len(page) * rng.uniform(0.2, 0.5))
    top, left = rng.integers(0, len(page) - side, 2)
    if rng.random() < 0.6:
        page[top : top + side, left : left + side] = photograph_crop(photographs, side, rng)
    else:
        page[top : top + side, left : left + side] = random_color(rng)


def _side_panel(screen: Pixels, paper: Color, ink: Ink, rng: np.random.Generator) -> int:
    """Draw a list at the left; return its width."""
    width = int(len(screen) * rng.uniform(0.15, 0.4))
    ground = as_color(np.array(paper) * rng.uniform(0.85, 0.97))
    cv2.rectangle(screen, (0, 0), (width, len(screen)), ground, -1)
    step = int(ink.line_height + rng.uniform(4, 16))
    for baseline in range(step, len(screen), step):
        _write(screen, ink, (6, baseline), width * rng.uniform(0.3, 0.7), rng)
    return width


def _title_bar(screen: Pixels, accent: Color, ink: Ink, rng: np.random.Generator) -> int:
    """Draw a bar across the top; return its height."""
    height = int(rng.uniform(18, 34))
    cv2.rectangle(screen, (0, 0), (len(screen), height), accent, -1)
    title = Ink(ink.font, ink.scale * 1.2, _readable_on(accent), 1)
    _write(screen, title, (8, height - 8), 0.4 * len(screen), rng)
    return height


def _row(
    screen: Pixels,
    corner: tuple[int, int],
    height: int,
    accent: Color,
    ink: Ink,
    rng: np.random.Generator,
) -> None:
    """Draw a line of text, an icon with text, or a button, and sometimes a rule below."""
    left, top = corner
    baseline = top + height - max(4, (height - int(20 * ink.scale)) // 2)
    room = max(20, len(screen) - left)
    choice = rng.random()
    if choice < 0.35:
        icon = random_color(rng) if rng.random() < 0.5 else accent
        radius = max(3, height // 3)
        center = (left + 8 + radius, top + height // 2)
        if rng.random() < 0.5:
            cv2.circle(screen, center, radius, icon, -1, cv2.LINE_AA)
        else:
            x, y = center
            cv2.rectangle(screen, (x - radius, y - radius), (x + radius, y + radius), icon, -1)
        after = (center[0] + radius + 6, baseline)
        _write(screen, ink, after, room * rng.uniform(0.2, 0.8), rng)
    elif choice < 0.55:
        width = int(rng.uniform(0.15, 0.5) * room)
        start, end = (left + 8, top + 3), (left + 8 + width, top + height - 3)
        filled = rng.random() < 0.6
        cv2.rectangle(screen, start, end, accent, -1 if filled else 1)
        label = Ink(ink.font, ink.scale, _readable_on(accent) if filled else ink.color, 1)
        _write(screen, label, (left + 14, baseline), 0.6 * width, rng)
    else:
        _write(screen, ink, (left + 8, baseline), room * rng.uniform(0.2, 1), rng)
    if rng.random() < 0.3:
        cv2.line(screen, (left, top + height), (len(screen), top + height), ink.color, 1)


def _readable_on(ground: Color) -> Color:
    return (250.0, 250.0, 250.0) if sum(ground) < 3 * 140 else (20.0, 20.0, 20.0)
