"""ONNX graphs as bytes: read, checked, pruned and split without the onnx package."""
