"""Families of changed versions of one picture, with what a metric should say of each.

A family shows what single pairs do not: more of a change is farther, two changes in turn are at
least as far as either, and a change of a part is still that change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dps_infer.arrays import Floats, Pixels
from dps_train.distortions.changes.content import box
from dps_train.distortions.changes.draw import Draw, Scene, random_draw, rounded
from dps_train.distortions.changes.elements import another_element
from dps_train.distortions.changes.kinds import CHANGES, DIRECTED, LOCAL
from dps_train.distortions.changes.rendering import part_moved, rendered_anew
from dps_train.distortions.distortion import quantize
from dps_train.distortions.kinds import KIND_NAMES
from dps_train.distortions.paper import DISTORTIONS, NAMES

LOCAL_AREA = (0.05, 0.35)
SOFT_EDGE = 3.0
"""Sigma in pixels of the edge of some parts."""

RELATED = (("rotate", "translate"), ("rotate", "zoom"), ("translate", "zoom"), ("darken", "color"))
"""Pairs that are hard to tell apart once they are combined."""

MEMBERS = 7
PARTS = 2
"""Changes of a part only, besides the other members."""

IN_PARTS = 3
"""Members of a family of changes of parts."""

IN_GRADED = 5
GRADES = (0.05, 0.15, 0.35, 0.65)
"""Members of a family of one change, and the shares of it that the weaker ones have."""

BLENDED = 0.5
"""Largest share of another picture in a change without a name."""

ON_PAGES = 11
"""Members of a family of changed pages."""

LAID = ("translate", "rotate")
FAINT = 0.35
"""Motions of another scan of a page, and the largest share of these and of its noise."""

CHANGED_SCANS, NOISY_SCANS = 0.6, 0.4
"""Shares of scans that are changed as a whole in another way, too, and that are noisier."""

LARGEST_OVERLAP = 0.2
"""Of the first part, by the second."""

CONTENT = "content"
WITH_CONTENT = 0.5
"""Share of these families in which one part shows something else."""

UNCLEAR = 0.1
"""Share of a part where it is not told which of several changes is where."""

PAPER_RANGE = 0.7
"""Share of the paper's distortions that are drawn in its ranges."""


@dataclass(frozen=True, eq=False)
class Member:
    """A changed version of a picture.

    Attributes:
        pixels: uint8 RGB [side, side, 3].
        present: 1 for each kind that was applied, else 0 [K]; all 0 where it is not told.
        strengths: in the kinds' units, NaN where unknown [K].
        directions: 1 or -1 where a kind has two, else 0 [K].
        weaker: index of a weaker version of the same change in the family; -1 without one.
        alone: indices of the two changes that this one combines; -1 without them.
        part: where the picture was changed [side, side]; None for all of it.
    """

    pixels: Pixels
    present: Floats
    strengths: Floats
    directions: Floats
    weaker: int = -1
    alone: tuple[int, int] = (-1, -1)
    part: NDArray[np.float32] | None = None


def family(scene: Scene, rng: np.random.Generator, *, paper: bool) -> list[Member]:
    """Draw a family: `MEMBERS` changed versions, and `PARTS` more unless `paper`.

    Args:
        scene: the picture.
        rng: draws everything.
        paper: mostly the paper's six distortions, in its ranges and with its black borders.
    """
    maker = _Maker(scene, rng, paper=paper)
    kind = maker.kind(but=("mirror",))
    draw = maker.draw(kind)
    maker.add([kind], [draw.weaker(float(rng.uniform(0.25, 0.85)))])
    maker.add([kind], [draw], weaker=0)
    maker.add_single()
    first, second = maker.two_kinds()
    draws = [maker.draw(first), maker.draw(second)]
    alone = (len(maker.members), len(maker.members) + 1)
    maker.add([first], draws[:1])
    maker.add([second], draws[1:])
    order = slice(None) if rng.random() < 0.5 else slice(None, None, -1)
    maker.add([first, second][order], draws[order], alone=alone)
    kind_of_last = rng.random()
    if kind_of_last < 0.35:
        kinds = [str(name) for name in rng.choice(maker.names, 3, replace=False)]
        maker.add(kinds, [maker.draw(name) for name in kinds])
    elif kind_of_last < 0.7:
        maker.add_single()
    elif kind_of_last < 0.85 and not paper:
        maker.add(["content"], [maker.draw("content")])  # the kind with most forms
    else:
        maker.add_other_picture()
    if not paper:
        for _ in range(PARTS):
            maker.add_part()
    return maker.members


def part_family(scene: Scene, rng: np.random.Generator) -> list[Member]:
    """Draw two changes of different parts, each alone, and both: `IN_PARTS` changed versions."""
    maker = _Maker(scene, rng, paper=False)
    kinds = [str(name) for name in rng.choice(LOCAL, 2, replace=False)]
    if rng.random() < WITH_CONTENT:
        kinds[int(rng.integers(2))] = CONTENT
    first, second = kinds
    maker.add_part(first)
    for _ in range(20):
        changed = maker.part(second)
        one, two = (member.part for member in (maker.members[0], changed))
        assert one is not None
        assert two is not None
        if (one * two).sum() <= LARGEST_OVERLAP * one.sum():
            break
    maker.members.append(changed)
    maker.add_both_parts()
    return maker.members


def graded_family(scene: Scene, rng: np.random.Generator) -> list[Member]:
    """Draw one change in rising strengths: `IN_GRADED` changed versions."""
    maker = _Maker(scene, rng, paper=False)
    kind = maker.kind(but=("mirror",))
    draw = replace(maker.draw(kind), share=float(rng.uniform(0.4, 1)))
    for place, share in enumerate((*GRADES, 1.0)):
        maker.add([kind], [draw.weaker(share)], weaker=place - 1)
    return maker.members


def fading_family(scene: Scene, rng: np.random.Generator) -> list[Member]:
    """Fade in a change without a name: `IN_GRADED` changed versions, of which no kind is told."""
    maker = _Maker(scene, rng, paper=False)
    before = scene.middle().astype(np.float32)
    strong = maker.unnamed(before).astype(np.float32)
    nothing, unknown = maker.unmarked()
    for place, share in enumerate((*GRADES, 1.0)):
        faded = rounded(before + np.float32(share) * (strong - before))
        maker.members.append(Member(faded, nothing, unknown, nothing, weaker=place - 1))
    return maker.members


def page_family(scene: Scene, rng: np.random.Generator) -> list[Member]:
    """Draw `ON_PAGES` changed versions of a page: other elements, and changes of other kinds."""
    maker = _Maker(scene, rng, paper=False)
    maker.add_element()
    maker.add_element()
    maker.add_scan(element=True)
    maker.add_scan(element=False)
    maker.add_scan(element=False)
    for element in (True, False, False):
        maker.add_rendering(element=element)
    maker.add_moved_part()
    maker.add_part()
    maker.add_single()
    return maker.members


class _Maker:
    """Collects the members of one family."""

    def __init__(self, scene: Scene, rng: np.random.Generator, *, paper: bool) -> None:
        self.scene, self.rng, self.paper = scene, rng, paper
        self.names = NAMES if paper and rng.random() < PAPER_RANGE else KIND_NAMES
        self.members: list[Member] = []

    def kind(self, but: Sequence[str] = ()) -> str:
        """Draw a kind."""
        return str(self.rng.choice([name for name in self.names if name not in but]))

    def two_kinds(self) -> tuple[str, str]:
        """Draw two different kinds, some of them related."""
        if self.paper and self.rng.random() < 0.3:
            first, second = RELATED[int(self.rng.integers(len(RELATED)))]
            return first, second
        first = self.kind()
        return first, self.kind(but=(first,))

    def draw(self, kind: str) -> Draw:
        """Draw a change."""
        draw = random_draw(self.rng)
        # The paper's distortions have one direction only.
        return replace(draw, sign=1) if self.paper and kind in ("darken", "blur", "zoom") else draw

    def add_single(self) -> None:
        """Add one change."""
        kind = self.kind()
        self.add([kind], [self.draw(kind)])

    def add(
        self,
        kinds: list[str],
        draws: list[Draw],
        *,
        weaker: int = -1,
        alone: tuple[int, int] = (-1, -1),
    ) -> None:
        """Add a picture that is changed in turn by one or several kinds."""
        surrounded = not self.paper and "mirror" not in kinds and self.rng_of(draws).random() < 0.7
        pixels = self.scene.pixels if surrounded else self.scene.middle()
        strengths = np.full(len(KIND_NAMES), np.nan, np.float32)
        for kind, draw in zip(kinds, draws, strict=True):
            if self.paper and kind in NAMES:
                pixels, strength = _papers(pixels, kind, draw)
            else:
                pixels, strength = CHANGES[kind](pixels, draw, self.scene)
            strengths[KIND_NAMES.index(kind)] = strength
        self.members.append(
            Member(
                self.scene.middle(pixels) if surrounded else pixels,
                _marked(kinds),
                strengths,
                _directions(kinds, draws),
                weaker,
                alone,
            )
        )

    @staticmethod
    def rng_of(draws: list[Draw]) -> np.random.Generator:
        """Return random numbers that are the same for all strengths of a change."""
        return np.random.default_rng(draws[0].seed)

    def add_other_picture(self) -> None:
        """Add another picture: it differs in every way."""
        nothing, unknown = self.unmarked()
        self.members.append(Member(self.scene.other, np.ones_like(nothing), unknown, nothing))

    def add_part(self, kind: str | None = None) -> None:
        """Add a picture of which a part is changed."""
        self.members.append(self.part(kind or str(self.rng.choice(LOCAL))))

    def unnamed(self, before: Floats) -> Pixels:
        """Return a strong change that no kind names of a picture [side, side, 3]."""
        rng, other = self.rng, self.scene.other.astype(np.float32)
        choice = rng.random()
        if choice < 0.35:
            pixels = self.scene.middle()
            for kind in rng.choice(LOCAL, 2, replace=False):
                pixels, _ = CHANGES[str(kind)](pixels, self.draw(str(kind)), self.scene)
            return pixels
        if choice < 0.5:
            return rounded(before + BLENDED * (other - before))
        if choice < 0.75:
            # What lies over a picture: darker, lighter, or its edges.
            soft = np.asarray(cv2.GaussianBlur(other, (0, 0), 1 + 6 * rng.random()), np.float32)
            darker = before * other / 255
            layers = darker, before + other - darker, before + 2 * (other - soft)
            return rounded(layers[int(rng.integers(len(layers)))])
        cells = int(rng.integers(2, 7))
        field = rng.standard_normal((cells, cells, 3 if rng.random() < 0.5 else 1))
        field = np.broadcast_to(field, (cells, cells, 3)).astype(np.float32)
        size = before.shape[1], before.shape[0]
        field = np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_CUBIC), np.float32)
        if rng.random() < 0.5:
            return rounded(before + 70 * field)
        return rounded(255 * (before / 255) ** np.exp(field))

    @staticmethod
    def unmarked() -> tuple[Floats, Floats]:
        """Return marks, or directions, of nothing, and unknown strengths [K]."""
        count = len(KIND_NAMES)
        return np.zeros(count, np.float32), np.full(count, np.nan, np.float32)

    def add_element(self) -> None:
        """Add a page with another element."""
        before = self.scene.middle()
        changed = another_element(before, self.scene, self.rng)
        part = (changed != before).any(axis=-1).astype(np.float32)
        nothing, unknown = self.unmarked()
        self.members.append(Member(changed, _marked([CONTENT]), unknown, nothing, part=part))

    def add_scan(self, *, element: bool) -> None:
        """Add another scan of a page, with another element or without."""
        scene, middle = self.scene, self.scene.middle()
        pixels, part = scene.pixels.copy(), None
        if element:
            pixels[scene.inside] = another_element(middle, scene, self.rng)
            part = np.full(middle.shape[:2], UNCLEAR, np.float32)
        kinds, draws = self.scan()
        strengths = np.full(len(KIND_NAMES), np.nan, np.float32)
        for kind, draw in zip(kinds, draws, strict=True):
            pixels, strengths[KIND_NAMES.index(kind)] = CHANGES[kind](pixels, draw, scene)
        marks = _marked([*kinds, CONTENT] if element else kinds)
        directions = _directions(kinds, draws)
        self.members.append(Member(scene.middle(pixels), marks, strengths, directions, part=part))

    def add_rendering(self, *, element: bool) -> None:
        """Add a page that is rendered anew, with another element or without."""
        middle = self.scene.middle()
        page = another_element(middle, self.scene, self.rng) if element else middle
        changed, part, softness = rendered_anew(page, self.rng)
        kinds = ["translate", "blur"] if softness else ["translate"]
        directions, unknown = self.unmarked()
        directions[KIND_NAMES.index("blur")] = softness
        if element:
            kinds, part = [*kinds, CONTENT], np.full_like(part, UNCLEAR)
        marks = _marked(kinds)
        self.members.append(Member(changed, marks, unknown, directions, part=_or_none(part)))

    def add_moved_part(self) -> None:
        """Add a page of which a large part lies elsewhere."""
        pixels, part = part_moved(self.scene, self.rng)
        nothing, unknown = self.unmarked()
        marks = _marked(["translate"])
        self.members.append(Member(pixels, marks, unknown, nothing, part=_or_none(part)))

    def scan(self) -> tuple[list[str], list[Draw]]:
        """Draw what another scan of a page shows: it lies elsewhere, and may be changed, too."""
        chance = self.rng.random(2)
        others = [name for name in LOCAL if name not in (*LAID, "noise")]
        kinds = [str(self.rng.choice(others))] if chance[0] < CHANGED_SCANS else []
        count = int(self.rng.integers(1, len(LAID) + 1))
        faint = [str(name) for name in self.rng.choice(LAID, count, replace=False)]
        faint += ["noise"] if chance[1] < NOISY_SCANS else []
        draws = [self.draw(name) for name in (*kinds, *faint)]
        return [*kinds, *faint], [
            draw if name in kinds else replace(draw, share=FAINT * draw.share)
            for name, draw in zip((*kinds, *faint), draws, strict=True)
        ]

    def part(self, kind: str) -> Member:
        """Change a part of the picture."""
        draw, before = self.draw(kind), self.scene.middle()
        unknown = np.full(len(KIND_NAMES), np.nan, np.float32)
        if kind == CONTENT:
            changed, _ = CHANGES[kind](before, draw, self.scene)
            part = (changed != before).any(axis=-1).astype(np.float32)
            return Member(changed, _marked([kind]), unknown, _directions([kind], [draw]), part=part)
        changed, _ = CHANGES[kind](self.scene.pixels, draw, self.scene)
        after = self.scene.middle(changed)
        area = np.exp(self.rng.uniform(*np.log(LOCAL_AREA)))
        top, left, height, width = box(before, float(area), self.rng)
        part = np.zeros(before.shape[:2], np.float32)
        part[top : top + height, left : left + width] = 1
        if self.rng.random() < 0.3:
            part = np.asarray(cv2.GaussianBlur(part, (0, 0), SOFT_EDGE), np.float32)
        mixed = rounded(before + (after.astype(np.float32) - before) * part[..., None])
        return Member(mixed, _marked([kind]), unknown, _directions([kind], [draw]), part=part)

    def add_both_parts(self) -> None:
        """Add a picture with the changes of both parts that were added last."""
        one, two = len(self.members) - 2, len(self.members) - 1
        first, second = self.members[one], self.members[two]
        assert second.part is not None
        share = second.part[..., None]
        self.members.append(
            Member(
                rounded(first.pixels * (1 - share) + second.pixels * share),
                first.present + second.present,
                first.strengths,
                first.directions + second.directions,
                alone=(one, two),
                part=np.full_like(second.part, UNCLEAR),
            )
        )


def _papers(pixels: Pixels, kind: str, draw: Draw) -> tuple[Pixels, float]:
    """Apply one of the paper's distortions, most of them in the paper's range."""
    distortion = DISTORTIONS[NAMES.index(kind)]
    rng = draw.rng()
    direction = torch.tensor([rng.random()])
    if rng.random() < PAPER_RANGE:
        generator = torch.Generator().manual_seed(draw.seed)
        strength = distortion.strength(distortion.sample(1, generator)) * draw.factor
    else:
        strength = distortion.strength_at(torch.tensor([draw.share]))
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    changed = quantize(distortion.apply(images, distortion.with_strength(strength, direction)))
    result = (changed[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return result, _in_units(kind, float(strength), pixels.shape[1])


def _in_units(kind: str, strength: float, side: int) -> float:
    """Convert a paper's strength to the unit of the kind."""
    if kind == "translate":
        return strength * side
    if kind == "zoom":
        return 100 * strength
    return strength if kind in ("rotate", "blur") else float("nan")


def _or_none(part: Floats) -> Floats | None:
    """Return a part, or None if it is all of the picture."""
    return None if (part == 1).all() else part


def _marked(kinds: Sequence[str]) -> Floats:
    return np.array([float(name in kinds) for name in KIND_NAMES], np.float32)


def _directions(kinds: Sequence[str], draws: Sequence[Draw]) -> Floats:
    directions = np.zeros(len(KIND_NAMES), np.float32)
    for kind, draw in zip(kinds, draws, strict=True):
        if kind in DIRECTED:
            directions[KIND_NAMES.index(kind)] = 1 if kind == "noise" else draw.sign
    return directions
