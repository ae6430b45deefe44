"""``python -m dps_infer``, the same as ``dps-infer``."""

from dps_infer.cli import main

if __name__ == "__main__":
    main()
