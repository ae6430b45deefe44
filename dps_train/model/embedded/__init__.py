"""The embedded metric: its network and its weights."""
