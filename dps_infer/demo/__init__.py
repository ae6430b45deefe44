"""A first result without any files: ``dps-infer demo``.

`pictures` has a photograph and two changed copies, `page` shows comparisons in two contexts side by
side, and `run` puts both into a folder.
"""
