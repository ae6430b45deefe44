"""Training of the head of size and presence: a bank of measured pairs, the loss, the steps."""
