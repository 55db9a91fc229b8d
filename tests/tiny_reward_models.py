"""Tiny random reward models, as folders that a reward term can name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny_models import tiny_language_model

from posttrain.data.conversation_format import ConversationFormat
from posttrain.models.reward_model import Calibration, RewardModelDescription
from posttrain.models.scalar_model import ScalarModel, scalar_model_of

CALIBRATION = Calibration(mean=0.25, scale=0.5, num_answers=4, answers="made up")


def tiny_scalar_model(kind: str = "llama", *, seed: int = 0, **settings: Any) -> ScalarModel:
    """A random trunk with a random head."""
    return scalar_model_of(
        tiny_language_model(kind, seed=seed, **settings), head="normal", seed=seed, takes_over=True
    )


def save_tiny_reward_model(
    folder: str | Path,
    kind: str = "llama",
    *,
    seed: int = 0,
    calibration: Calibration | None = CALIBRATION,
    conversation: ConversationFormat | None = None,
    **settings: Any,
) -> Path:
    """Writes weights, tokenizer and description, and returns the folder."""
    path = tiny_scalar_model(kind, seed=seed, **settings).save(folder)
    RewardModelDescription(conversation or ConversationFormat(), calibration).write(path)
    return path
