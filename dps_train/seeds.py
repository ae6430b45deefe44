"""Random numbers for one purpose each, so that leaving one out changes no other."""

from __future__ import annotations

import hashlib

import torch


def generator_for(purpose: str, seed: int) -> torch.Generator:
    """Return a generator of its own for a purpose, the same for equal purposes and seeds."""
    digest = hashlib.sha256(f"{purpose} {seed}".encode()).digest()
    # manual_seed takes what fits 64 bits; a bit less keeps it positive everywhere.
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
