"""A report on a file of results: one HTML page that works from disk, without a network.

    from dps_infer import build_report

    report = build_report("results.csv", metrics={"print": metric}, threshold=0.5)
    Path("report.html").write_bytes(report.page)

`build` collects the content, `rows` reads the results, `pictures` makes thumbnails, `maps` heat
maps, and `examples` the pictures that explain a context. `assembly` fills the page in ``page/``.
"""
