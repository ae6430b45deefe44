"""Kinds of change: those that have names, and others."""
