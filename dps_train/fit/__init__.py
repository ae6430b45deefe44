"""Training a metric for a context."""
