"""The program ``dps-infer``, also run by ``python -m dps_infer``."""

from typing import NoReturn

from dps_infer.commands.shared.process import start


def main() -> NoReturn:
    """Run ``dps-infer``."""
    start("dps_infer.cli")


if __name__ == "__main__":
    main()
