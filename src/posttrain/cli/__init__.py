"""The `posttrain` command: which commands there are, their help, and the way from words to settings to a run."""

from posttrain.cli.command_line import main

__all__ = ["main"]
