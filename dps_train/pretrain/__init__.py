"""Training of the embedded metric: ``python -m dps_train.pretrain``."""
