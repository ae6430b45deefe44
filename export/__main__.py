"""``python -m dps_export``, the same as ``dps-export``."""

from dps_export.cli import main

if __name__ == "__main__":
    main()
