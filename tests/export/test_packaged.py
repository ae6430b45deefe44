"""Runs that change nothing but the context take the package's own graph."""

from __future__ import annotations

import torch

from dps_export import export
from dps_export.packaged import packaged_graph
from dps_export.verify import ParityError, verify
from dps_train.model.embedded.embedded_metric import load_universal


def test_another_context_is_the_same_graph():
    metric = load_universal()
    metric.head.importances[:3] = torch.tensor([4.0, 0.5, 2.0])
    model = packaged_graph(metric)
    assert not model.metadata_props
    assert verify(model.SerializeToString(), metric, metric.head.importances.tolist()).pairs > 0


def test_another_weight_is_another_metric():
    metric = load_universal()
    next(metric.head.layers.parameters()).data[0] += 1e-3
    assert packaged_graph(metric) is None


def test_a_package_whose_file_is_not_up_to_date_is_traced(monkeypatch):
    metric, traced = load_universal(), object()

    def differ(*_arguments):
        monkeypatch.setattr(export, "verify", lambda *_: "parity")
        raise ParityError("they differ")

    monkeypatch.setattr(export, "verify", differ)
    monkeypatch.setattr(export, "freeze", lambda _: FakeModel(traced))
    model, parity = export._verified(metric, [1.0], reuse=True, note=lambda _: None)
    assert (model.origin, parity) == (traced, "parity")


class FakeModel:
    """A model of which only the origin counts."""

    def __init__(self, origin: object) -> None:
        self.origin = origin

    def SerializeToString(self) -> bytes:
        return b""
