"""One file per image format: what can be known, and must be checked, before decoding."""
