"""Benchmarks of time: run them on a machine that does nothing else."""
