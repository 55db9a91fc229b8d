"""Prompts become responses.

An engine has two methods, `generate` and `load_weights` (`RolloutEngine`). `TorchEngine` samples in this
process; `ScriptedEngine` returns what it was told to, for tests and documentation.
"""

from posttrain.rollouts.engine import Progress, RolloutEngine
from posttrain.rollouts.scripted_engine import ScriptedEngine
from posttrain.rollouts.torch_engine import TorchEngine

__all__ = ["Progress", "RolloutEngine", "ScriptedEngine", "TorchEngine"]
