"""One optimiser step, the same for every recipe, and the checkpoints that make it resumable."""

from posttrain.training.checkpoint import Checkpoint, CheckpointStore, CheckpointWarning
from posttrain.training.learner import Learner
from posttrain.training.metrics import Metrics
from posttrain.training.microbatches import plan_minibatches
from posttrain.training.next_token_objective import NextToken
from posttrain.training.objectives import Objective, PolicyGradient
from posttrain.training.optimizer import OptimizerSettings
from posttrain.training.preference_objective import PreferenceRanking
from posttrain.training.randomness import random_state, restore_random_state
from posttrain.training.schedule import LearningRateSchedule, num_optimizer_steps

__all__ = [
    "Checkpoint",
    "CheckpointStore",
    "CheckpointWarning",
    "Learner",
    "LearningRateSchedule",
    "Metrics",
    "NextToken",
    "Objective",
    "OptimizerSettings",
    "PolicyGradient",
    "PreferenceRanking",
    "num_optimizer_steps",
    "plan_minibatches",
    "random_state",
    "restore_random_state",
]
