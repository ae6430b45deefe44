"""A report on a file of results: one page that works from disk, without a network.

    from dps_infer.report import build_report

    report = build_report("results.csv", contexts={"print": context}, threshold=0.5)
    Path("report.html").write_bytes(report.page)

`rows` reads the results, `pictures` makes thumbnails, `maps` the heat maps, `examples` the
pictures that explain a context, and `assembly` puts all into the page in ``page/``.
"""

from dps_infer.report.build import Report as Report
from dps_infer.report.build import build_report as build_report

__all__ = ["Report", "build_report"]
