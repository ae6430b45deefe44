"""The images that the embedded metric is trained on."""
