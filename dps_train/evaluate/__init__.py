"""The measurements of `dps-train evaluate`, and their printed tables."""
