"""Benchmarks whose figures do not depend on how busy the machine is."""
