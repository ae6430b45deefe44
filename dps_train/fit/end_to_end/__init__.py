"""Train a network and its scalars together."""
