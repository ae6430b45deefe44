"""The version of the installed package. Looking it up takes a few hundredths of a second."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dps-toolkit")
except PackageNotFoundError:
    __version__ = "0+unknown"
