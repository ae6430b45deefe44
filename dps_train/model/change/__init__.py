"""The change between two images at their own size: motion, statistics in cells, distance."""
