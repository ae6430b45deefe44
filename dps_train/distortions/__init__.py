"""Kinds of change: the paper's six distortions, and others that a metric reports as `other`."""
