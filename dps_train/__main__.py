"""The program ``dps-train``, also run by ``python -m dps_train``."""

from typing import NoReturn

from dps_infer.commands.shared.process import start


def main() -> NoReturn:
    """Run ``dps-train``."""
    start("dps_train.cli")


if __name__ == "__main__":
    main()
