"""What can be found wrong before hours of work: files that are not there, lines that cannot be read, rewards."""

from __future__ import annotations

from posttrain.config.loading import SettingsText
from posttrain.config.rank import RankStageConfig
from posttrain.config.sections import DataSection, RewardSection
from posttrain.errors import PosttrainError
from posttrain.pipelines.content import check_user_inputs
from posttrain.pipelines.stages import Stage


def check(stage: Stage, text: SettingsText) -> None:
    """Opens what the stage will open, as far as it does not come from another stage, and closes it again.

    The error is the recipe's own, with the stage's name before it.
    """
    check_user_inputs(stage, text)
    try:
        _check_prompts_and_reward(stage)
    except PosttrainError as error:
        where = text.where(("stages", stage.name))
        raise type(error)(f"{where}: the stage {stage.name!r}: {error}") from error


def _check_prompts_and_reward(stage: Stage) -> None:
    from posttrain.recipes.prompts import open_prompts
    from posttrain.recipes.reward import open_reward

    data = getattr(stage.config, "data", None)
    verifier = None
    if isinstance(data, DataSection) and not _comes_from_a_stage(stage, "data"):
        verifier = open_prompts(data, getattr(stage.config, "seed", 0)).verifier
    asks_people = isinstance(stage.config, RankStageConfig) and stage.config.rankings is not None
    rewards = [
        getattr(stage.config, "reward", None),
        getattr(getattr(stage.config, "evaluation", None), "reward", None),
    ]
    for reward in rewards:
        if not isinstance(reward, RewardSection):
            continue
        # Reward models are large, and may be what another stage is to make.
        terms = tuple(term for term in reward.terms if term.model is None)
        if terms:
            open_reward(reward.model_copy(update={"terms": terms}), verifier).close()
        elif not (reward.terms or verifier or asks_people or _comes_from_a_stage(stage, "data")):
            open_reward(reward, None).close()  # raises: nothing could judge


def _comes_from_a_stage(stage: Stage, section: str) -> bool:
    return any(reference.key[0] == section for reference in stage.references)
