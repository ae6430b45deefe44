"""Making the embedded metric: ``python -m dps_train.pretrain``."""
