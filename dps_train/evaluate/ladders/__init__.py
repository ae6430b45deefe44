"""Ladders: real changes of photographs at full size, from barely visible to gross."""
