"""Errors that a user can do something about; every one says what, why and what to do.

PosttrainError
├── ConfigError        (ValueError)    a setting that cannot work, before anything is loaded
├── DataError          (ValueError)    a malformed line or column: names file and line
├── ModelError         (ValueError)    a model that cannot be found or does not fit
├── CheckpointError    (RuntimeError)  nothing to resume from, or it cannot be written
├── RewardError        (RuntimeError)  too large a share could not be scored
└── InvariantError     (RuntimeError)  training would go on with wrong numbers
"""

from __future__ import annotations


class PosttrainError(Exception):
    """Anything that posttrain reports to its user without a traceback."""


class ConfigError(PosttrainError, ValueError):
    """A setting that cannot work; raised before anything is loaded."""


class DataError(PosttrainError, ValueError):
    """Input data that cannot be used; names the file and the line."""


class ModelError(PosttrainError, ValueError):
    """A model that cannot be found, opened or used in this place."""


class CheckpointError(PosttrainError, RuntimeError):
    """A checkpoint that cannot be written, or none that can be read."""


class RewardError(PosttrainError, RuntimeError):
    """Too large a share of the rollouts could not be scored."""


class InvariantError(PosttrainError, RuntimeError):
    """A rule that must hold in any correct run was broken; going on would train on wrong numbers."""
