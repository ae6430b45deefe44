"""Options and helpers that several command lines share."""
