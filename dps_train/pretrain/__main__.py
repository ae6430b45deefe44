"""Run ``python -m dps_train.pretrain``."""

from dps_train.pretrain.cli import main

if __name__ == "__main__":
    main()
