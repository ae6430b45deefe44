"""Train a metric for a context."""
