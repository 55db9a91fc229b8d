"""Models that settings name by a folder, looked at before anything is loaded: each with the check of its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from posttrain.config.ppo import PPOConfig
from posttrain.config.reward_model import RewardModelConfig
from posttrain.config.sections import RewardSection, Section
from posttrain.models.folder_checks import check_language_model, check_reward_model, check_trunk_for_scalars
from posttrain.recipes.critics import check_critic_folder

Key = tuple[str | int, ...]
Check = tuple[Key, Callable[[], object]]
"""A setting, and what raises ConfigError or ModelError where the folder in it cannot stand there."""


def model_checks(config: Section, is_there: Callable[[Key], bool]) -> Iterator[Check]:
    """The checks of every folder of a model that the settings name; no weights are read.

    `is_there(key)` says whether what the setting names is there already, and not still to be made. Names that are no
    folder here (the embedded model, ids of the Hub) are left to the recipe.
    """
    model = getattr(config, "model", None)
    if isinstance(model, str) and is_there(("model",)) and Path(model).expanduser().exists():
        check = check_trunk_for_scalars if isinstance(config, RewardModelConfig) else check_language_model
        yield ("model",), partial(check, Path(model).expanduser())
    yield from _reward_models(getattr(config, "reward", None), ("reward",), is_there)
    judge = getattr(getattr(config, "evaluation", None), "reward", None)
    yield from _reward_models(judge, ("evaluation", "reward"), is_there)
    if isinstance(config, PPOConfig) and is_there(_place_of_critic(config)):
        yield (
            _place_of_critic(config),
            partial(check_critic_folder, config, knows_policy=is_there(("model",))),
        )


def _reward_models(section: object, at: Key, is_there: Callable[[Key], bool]) -> Iterator[Check]:
    if not isinstance(section, RewardSection):
        return
    for number, term in enumerate(section.terms):
        key = (*at, "terms", number, "model")
        if term.model is not None and is_there(key) and Path(term.model).exists():
            yield key, partial(check_reward_model, Path(term.model), normalize=term.normalize)


def _place_of_critic(config: PPOConfig) -> Key:
    """The setting that says where the critic starts: its own or, left to "auto", the first reward model."""
    if config.critic.start == "auto" and config.critic_start != "policy":
        number = next(n for n, term in enumerate(config.reward.terms) if term.model is not None)
        return ("reward", "terms", number, "model")
    return ("critic", "start")
