"""Run ``python -m dps_train.pretrain``."""

from dps_train.pretrain.train import main

if __name__ == "__main__":
    main()
