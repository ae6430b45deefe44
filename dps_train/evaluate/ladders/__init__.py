"""Ladders of real changes at full size: what users will see of a metric."""
