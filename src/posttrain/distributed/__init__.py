"""Where a run's processes are and how they add up."""

from posttrain.distributed.collectives import SingleProcess

__all__ = ["SingleProcess"]
