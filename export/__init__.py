"""Freeze trained metrics into context files: one ONNX file each, run by `dps_infer`."""
