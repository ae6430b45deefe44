"""Networks whose features are compared: backbones, layer presets, and weight files."""
