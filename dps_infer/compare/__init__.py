"""Comparing images with a loaded context file."""
