"""Images: from encoded bytes to the uint8 RGB pixels that are compared."""
