"""One page of plots, which works from disk and without a network."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from dps_train.evaluate.ladders import plots
from dps_train.evaluate.ladders.records import LadderReport
from dps_train.evaluate.ladders.table import group_title, share_text, times_text


def render(report: LadderReport) -> str:
    """Return the page, the same for the same figures."""
    environment = Environment(
        loader=PackageLoader("dps_train.evaluate.ladders", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"times": times_text, "share": share_text}
    environment.globals |= {"group_title": group_title, "color": plots.color, "box": plots}
    return environment.get_template("ladders.html").render(
        report=report,
        sizes=[
            (size, [plots.context_plots(context, size.kinds) for context in size.contexts])
            for size in report.sizes
        ],
    )
