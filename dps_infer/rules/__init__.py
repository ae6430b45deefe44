"""Rules of a project in a file, ``dps.toml``: how its images are compared and judged."""
