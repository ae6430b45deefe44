"""Readers of published sets of scores, one file each, in the layout that their authors chose."""
