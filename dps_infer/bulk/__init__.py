"""Many pairs at once: files of pairs, folders, thresholds, Ray."""
