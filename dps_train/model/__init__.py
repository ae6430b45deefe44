"""The metric in PyTorch: preprocess, backbone, comparison, head."""
