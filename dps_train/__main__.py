"""``python -m dps_train``, the same as ``dps-train``."""

from dps_train.cli import main

if __name__ == "__main__":
    main()
