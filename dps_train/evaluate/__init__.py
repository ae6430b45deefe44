"""What `dps-train evaluate` measures, and how it is shown."""
