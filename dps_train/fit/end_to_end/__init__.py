"""Training a network and its scalars together."""
