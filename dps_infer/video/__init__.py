"""Compare videos frame by frame."""
