"""Leaner context files: fewer outputs, less memory, smaller numbers."""
