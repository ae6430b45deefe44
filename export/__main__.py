"""The program ``dps-export``, also run by ``python -m dps_export``."""

from typing import NoReturn

from dps_infer.commands.shared.process import start


def main() -> NoReturn:
    """Run ``dps-export``."""
    start("dps_export.cli")


if __name__ == "__main__":
    main()
