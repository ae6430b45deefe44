"""A separate random generator for each purpose, so that omitting one changes no other."""

from __future__ import annotations

import hashlib

import torch


def generator_for(purpose: str, seed: int) -> torch.Generator:
    """Return a generator that is determined by purpose and seed."""
    digest = hashlib.sha256(f"{purpose} {seed}".encode()).digest()
    # manual_seed accepts 64 bits; 63 keep it positive everywhere.
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
