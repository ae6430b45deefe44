"""Agreement of metrics with the scores that people gave to image pairs."""
