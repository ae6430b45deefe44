"""How a pair is compared and judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dps_infer.compare.metric import Metric
from dps_infer.compare.regions.gate import Gate
from dps_infer.compare.summary import Thresholds

if TYPE_CHECKING:
    from dps_infer.images.ignored import Ignored


@dataclass(frozen=True, eq=False)
class Rule:
    """How a pair is compared and judged; use one object for all pairs that share it.

    Attributes:
        metrics: by label, at least one. The label of a metric is the same in all rules.
        thresholds: the largest distances to accept, by label.
        regions: find the places that differ as well; thresholds apply to what it says.
        ignored: parts to leave out.
        resize: resize the candidate to the size of the reference.
    """

    metrics: Mapping[str, Metric]
    thresholds: Thresholds = field(default_factory=dict)
    regions: Gate | None = None
    ignored: Ignored | None = None
    resize: bool = False
