"""A page that shows how an answer turns round: the same pictures, measured in two ways.

Both ways stand side by side, each with a heat map and a reading per picture. The page is one HTML
file without scripts that loads nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dps_infer.arrays import Pixels
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.report.pictures import data_url
from dps_infer.show.heatmap import draw_map
from dps_infer.show.words import formula

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True, eq=False)
class Reading:
    """One picture, compared with the reference.

    Attributes:
        name: of the picture.
        distance: from the reference.
        words: the distance with its parts.
        heat_map: where the distance comes from, over the picture in gray, uint8 RGB.
    """

    name: str
    distance: float
    words: str
    heat_map: Pixels


@dataclass(frozen=True, eq=False)
class View:
    """One of the two ways to measure.

    Attributes:
        title: a few words.
        explanation: what matters, in a sentence.
        readings: of each picture.
    """

    title: str
    explanation: str
    readings: tuple[Reading, ...]

    @property
    def larger(self) -> str:
        """The name of the picture that is farther from the reference."""
        return max(self.readings, key=lambda reading: reading.distance).name

    def verdict(self) -> str:
        """Say which picture is the larger change, and how many times as far it is."""
        near, far = sorted(reading.distance for reading in self.readings)
        times = f", {_times(far / near)} times as far as the other" if near > 0 else ""
        return f"the {self.larger} picture is the larger change{times}"


def make_view(
    title: str,
    explanation: str,
    metric: Metric,
    comparisons: Mapping[str, Comparison],
    pictures: Mapping[str, Pixels],
) -> View:
    """Read two comparisons, draw their heat maps, and put them into a view.

    Args:
        title: see `View`.
        explanation: see `View`.
        metric: the metric that made the comparisons.
        comparisons: by the names of the pictures, with maps.
        pictures: the pictures by name, uint8 RGB [H, W, 3].
    """
    readings = tuple(
        Reading(
            name,
            comparison.distance,
            formula(comparison),
            draw_map(comparison, metric, pictures[name], overlay=True, legend=True),
        )
        for name, comparison in comparisons.items()
    )
    return View(title, explanation, readings)


def turns_round(views: Sequence[View]) -> bool:
    """Return whether the views disagree about which picture is the larger change."""
    return len({view.larger for view in views}) > 1


def build_page(
    title: str,
    pictures: Mapping[str, Pixels],
    views: Sequence[View],
    *,
    captions: Mapping[str, str],
    then: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Return the page: HTML, UTF-8.

    Args:
        title: the question that the page answers.
        pictures: the reference first, then those that are compared with it, uint8 RGB.
        views: what to show side by side.
        captions: by the names of the pictures.
        then: commands to try next, each with what it does.
    """
    verdict = "The answer turns round." if turns_round(views) else "Both give the same answer."
    filling = {
        "title": html.escape(title),
        "verdict": html.escape(verdict),
        "answers": "".join(
            f"<li><b>{html.escape(view.title)}</b>: {html.escape(view.verdict())}.</li>"
            for view in views
        ),
        "pictures": "".join(
            _figure(pixels, name, captions[name]) for name, pixels in pictures.items()
        ),
        "views": "".join(map(_view, views)),
        "then": "".join(
            f"<dt>{html.escape(what)}</dt><dd><code>{html.escape(command)}</code></dd>"
            for command, what in then
        ),
    }
    template = TEMPLATE.read_text(encoding="utf-8")
    # In one pass, so that no inserted text is mistaken for a placeholder.
    page = re.sub(r"\{\{(\w+)\}\}", lambda place: filling[place[1]], template)
    return page.encode("utf-8")


def _view(view: View) -> str:
    longest = max(reading.distance for reading in view.readings) or 1.0
    readings = "".join(_reading(reading, view, longest) for reading in view.readings)
    return (
        f"<section><h2>{html.escape(view.title)}</h2><p>{html.escape(view.explanation)}</p>"
        f'<div class="readings">{readings}</div></section>'
    )


def _reading(reading: Reading, view: View, longest: float) -> str:
    larger = " larger" if reading.name == view.larger else ""
    note = "the larger change" if larger else ""
    # A meter, and not a styled bar: the page's policy allows no inline styles.
    bar = f'<meter min="0" max="1" value="{reading.distance / longest:.4f}"></meter>'
    words = f'<span class="words">{html.escape(reading.words)}</span>'
    picture = _image(reading.heat_map, f"heat map of the {reading.name} picture")
    caption = f"<b>{html.escape(reading.name)}</b> <i>{note}</i>{bar}{words}"
    return f'<figure class="reading{larger}">{picture}<figcaption>{caption}</figcaption></figure>'


def _figure(pixels: Pixels, name: str, caption: str) -> str:
    words = f"<b>{html.escape(name)}</b> <span>{html.escape(caption)}</span>"
    return f"<figure>{_image(pixels, name)}<figcaption>{words}</figcaption></figure>"


def _image(pixels: Pixels, name: str) -> str:
    height, width = pixels.shape[:2]
    source = data_url(pixels)
    return f'<img src="{source}" width="{width}" height="{height}" alt="{html.escape(name)}">'


def _times(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}"
