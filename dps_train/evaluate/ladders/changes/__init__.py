"""The changes themselves: functions from a photograph and a strength to a changed picture."""
