"""Adapt deep perceptual similarity metrics to contexts: the PyTorch side of dps-toolkit."""
