"""ONNX graphs as bytes: read, checked, pruned, cut and split without the onnx package."""
