"""Videos, compared frame by frame."""
