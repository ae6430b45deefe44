"""Kills and full disks: ``python -m tests.kills``."""
