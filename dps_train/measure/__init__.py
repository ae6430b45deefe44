"""Measures of a metric on held-out images."""
