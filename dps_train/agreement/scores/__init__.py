"""Scores of people: the value, the checks, and the files that they come from."""
