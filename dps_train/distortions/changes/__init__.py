"""Random changes of single pictures, to learn the names of changes from."""
