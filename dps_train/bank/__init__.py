"""The distance bank: channel distances of many pairs, computed once."""
