"""The places in which two images differ: boxes, and each one's own distance."""
