"""Names of kinds of change for people, with direction and strength: "turned by 2 degrees"."""

from __future__ import annotations

from dps_infer.compare.pairs import Comparison
from dps_infer.contexts.ranking import OTHER

CLEAR = 0.3
"""Smallest direction that is put into words."""

_WORDS = {
    "rotate": "turned",
    "translate": "shifted",
    "darken": "darker or brighter",
    "color": "other hues",
    "blur": "softer or sharper",
    "zoom": "resized",
    "noise": "noise",
    "contrast": "other contrast",
    "saturation": "other saturation",
    "tint": "tinted",
    "compression": "compressed",
    "warp": "bent",
    "content": "other content",
    "mirror": "mirrored",
    OTHER: "changed otherwise",
}

_DIRECTIONS = {
    "rotate": ("turned clockwise", "turned counterclockwise"),
    "darken": ("darker", "brighter"),
    "blur": ("softer", "sharper"),
    "zoom": ("larger", "smaller"),
    "noise": ("noisier", "cleaner"),
    "contrast": ("more contrast", "less contrast"),
    "saturation": ("more saturated", "less saturated"),
}

_STRENGTHS = {
    "rotate": "by about {} degrees",
    "translate": "by about {} px",
    "zoom": "by about {} %",
    "blur": "(about sigma {} px)",
    "noise": "(about sigma {} of 255)",
    "compression": "(about JPEG quality {})",
}


def kind_words(name: str, comparison: Comparison, *, strength: bool = True) -> str:
    """Return a kind of change of a comparison in words.

    Args:
        name: the kind, one of the comparison's amounts.
        comparison: the comparison.
        strength: add the strength, where one is known.
    """
    words = _WORDS.get(name, name)
    direction = comparison.directions.get(name, 0.0)
    if name in _DIRECTIONS and abs(direction) >= CLEAR:
        words = _DIRECTIONS[name][0 if direction > 0 else 1]
    value = comparison.strengths.get(name)
    # The sigma of a blur says nothing about a sharpening, nor that of noise about denoising.
    undone = name in ("blur", "noise") and direction < CLEAR
    if strength and value is not None and name in _STRENGTHS and not undone:
        words += f" {_STRENGTHS[name].format(two_digits(value))}"
    return words


def two_digits(value: float) -> str:
    """Format a number with two significant digits, without an exponent.

    >>> two_digits(0.4321), two_digits(37.2)
    ('0.43', '37')
    """
    rounded = float(f"{value:.2g}")
    return f"{rounded:.0f}" if rounded >= 10 else f"{rounded:g}"
