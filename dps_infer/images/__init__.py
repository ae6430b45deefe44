"""Decode image files to the uint8 RGB pixels that are compared."""
