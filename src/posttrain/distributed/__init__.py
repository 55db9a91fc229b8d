"""Where a run's processes are and how they add up."""

from posttrain.distributed.collectives import Collectives, PeerError, SingleProcess, agreed
from posttrain.distributed.process_group import ProcessGroup

__all__ = ["Collectives", "PeerError", "ProcessGroup", "SingleProcess", "agreed"]
