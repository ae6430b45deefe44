"""Train or adapt the head of size and presence on images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dps_infer.arrays import Pixels
from dps_train.distortions.changes.families import MEMBERS, PARTS
from dps_train.fit.presence.bank import Collection, measured_pairs
from dps_train.fit.presence.stored import bank_recipe, open_folder
from dps_train.fit.presence.training import FAMILIES_PER_STEP, train_presence
from dps_train.model.change.change_metric import ChangeMetric

PAPER_SHARE = 0.6
"""Share of the pairs that show the paper's distortions at the paper's size."""

PAPER_SIDE, OWN_SIDE = 64, 192
"""Sides in pixels of the pictures in both collections."""

EPOCHS = 30
"""Default number of passes over the pairs."""


def collections(pairs: int) -> tuple[Collection, Collection]:
    """Return collections that have at least so many pairs together."""
    paper = -(-round(pairs * PAPER_SHARE) // MEMBERS)
    own = -(-round(pairs * (1 - PAPER_SHARE)) // (MEMBERS + PARTS))
    return (
        Collection("paper", paper, PAPER_SIDE, paper=True),
        Collection("own", own, OWN_SIDE, paper=False),
    )


def fit_presence(
    metric: ChangeMetric,
    images: Sequence[Pixels],
    *,
    pairs: int,
    seed: int,
    adapt: bool = False,
    epochs: int = EPOCHS,
    folder: Path | None = None,
    renew: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Train a metric's head in place, or adapt a trained one to images.

    Args:
        metric: its network stays as it is.
        images: uint8 RGB [H, W, 3] of any size.
        pairs: the smallest number of pairs.
        seed: of everything random.
        adapt: continue from the weights that the head has.
        epochs: passes over the pairs.
        folder: keeps measured pairs between runs; None keeps none.
        renew: replace measured pairs of another recipe.
        note: receives a line about the loss now and then.

    Raises:
        BankError: the folder holds pairs of another recipe, or other things.
    """
    metric.eval()
    drawn = collections(pairs)
    if folder is not None:
        open_folder(folder, bank_recipe(metric, images, drawn, seed), renew=renew)
    banks = [(one, measured_pairs(one, metric, images, seed, folder)) for one in drawn]
    per_step = sum(FAMILIES_PER_STEP * collection.members for collection in drawn)
    steps = max(1, epochs * pairs // per_step)
    train_presence(metric, banks, steps=steps, seed=seed, adapt=adapt, note=note)
