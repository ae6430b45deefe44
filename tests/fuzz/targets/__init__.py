"""One file per fuzz target. The file's name is the target's name."""
