"""The version of the installed package, for records and `--version`."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dsfunet")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
