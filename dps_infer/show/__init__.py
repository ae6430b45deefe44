"""Results as text, JSON records and pictures."""
