"""The change of each kind, and which of them have a direction."""

from __future__ import annotations

from dps_infer.contexts.ranking import OTHER
from dps_train.distortions.changes import detail, geometry, tones
from dps_train.distortions.changes.content import content
from dps_train.distortions.changes.draw import Change
from dps_train.distortions.changes.other import other
from dps_train.distortions.kinds import KIND_NAMES, KINDS

CHANGES: dict[str, Change] = {
    "rotate": geometry.rotate,
    "translate": geometry.translate,
    "darken": tones.darken,
    "color": tones.color,
    "blur": detail.blur,
    "zoom": geometry.zoom,
    "noise": detail.noise,
    "contrast": tones.contrast,
    "saturation": tones.saturation,
    "tint": tones.tint,
    "compression": detail.compression,
    "warp": geometry.warp,
    "content": content,
    "mirror": geometry.mirror,
    OTHER: other,
}

MOVING = ("rotate", "translate", "zoom", "warp")
"""Kinds that need the surroundings of what is looked at."""

LOCAL = tuple(name for name in CHANGES if name not in ("content", "mirror", OTHER))
"""Kinds that may change a part of a picture only."""

DIRECTED = frozenset(kind.name for kind in KINDS if kind.directions)

assert tuple(CHANGES) == KIND_NAMES
