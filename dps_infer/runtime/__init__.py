"""onnxruntime: devices, sessions, and what is kept between runs."""
