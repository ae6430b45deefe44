"""One page of plots, which works from disk and without a network."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from dps_train.evaluate.ladders import plots
from dps_train.evaluate.ladders.records import SizeFigures
from dps_train.evaluate.ladders.table import group_title, share_text, times_text


def render(sizes: Sequence[SizeFigures], *, title: str, data: str, seed: int) -> str:
    """Return the page, the same for the same figures.

    Args:
        sizes: the figures at each size.
        title: what was measured.
        data: where the photographs come from.
        seed: of everything random.
    """
    environment = Environment(
        loader=PackageLoader("dps_train.evaluate.ladders", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"times": times_text, "share": share_text}
    environment.globals |= {"group_title": group_title, "color": plots.color}
    return environment.get_template("ladders.html").render(
        title=title,
        data=data,
        seed=seed,
        box=plots,
        sizes=[
            (size, [plots.context_plots(context, size.kinds) for context in size.contexts])
            for size in sizes
        ],
    )
