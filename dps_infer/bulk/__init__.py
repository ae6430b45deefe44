"""Scoring many pairs: files of pairs, folders, and thresholds estimated from pairs."""
