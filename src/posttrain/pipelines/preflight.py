"""What can be found wrong before hours of work: files and folders that are not there or not what they must be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from posttrain.config.loading import SettingsText
from posttrain.config.rank import RankStageConfig
from posttrain.config.reject_sample import RejectSampleConfig
from posttrain.config.sections import DataSection, RewardSection
from posttrain.errors import PosttrainError
from posttrain.pipelines.content import check_user_inputs
from posttrain.pipelines.given_data import readings
from posttrain.pipelines.stages import Key, Stage, dotted


def check(stage: Stage, text: SettingsText) -> None:
    """Opens what the stage will open, as far as it does not come from another stage, and closes it again.

    Data is read to its last line; of models, configuration and tokenizer are. The error is the recipe's own, with the
    stage's name and the setting's line before it.
    """
    from posttrain.recipes.named_models import model_checks

    check_user_inputs(stage, text)
    for key, attempt in (*readings(stage), *model_checks(stage.config, lambda key: stage.has_itself(*key))):
        with _naming(stage, text, key):
            attempt()
    with _naming(stage, text):
        _check_prompts_and_reward(stage)


@contextlib.contextmanager
def _naming(stage: Stage, text: SettingsText, key: Key = ()) -> Iterator[None]:
    try:
        yield
    except PosttrainError as error:
        where = text.where(("stages", stage.name, *key))
        setting = f", {dotted(key)}" if key else ""
        raise type(error)(f"{where}: the stage {stage.name!r}{setting}: {error}") from error


def _check_prompts_and_reward(stage: Stage) -> None:
    from posttrain.recipes.prompts import open_prompts
    from posttrain.recipes.reward import open_reward, refuse_token_lengths

    config = stage.config
    data = getattr(config, "data", None)
    verifier = None
    if isinstance(data, DataSection) and stage.has_itself("data"):
        verifier = open_prompts(data, getattr(config, "seed", 0)).verifier
    reads_texts = isinstance(config, RankStageConfig) or (
        isinstance(config, RejectSampleConfig) and config.samples is not None
    )
    rewards = [getattr(config, "reward", None), getattr(getattr(config, "evaluation", None), "reward", None)]
    for reward in rewards:
        if not isinstance(reward, RewardSection):
            continue
        # Reward models are large, and may be what another stage is to make.
        terms = tuple(term for term in reward.terms if term.model is None)
        if terms:
            with open_reward(reward.model_copy(update={"terms": terms}), verifier) as judge:
                if reads_texts:
                    refuse_token_lengths(judge)
        elif not (reward.terms or verifier) and stage.has_itself("data"):
            open_reward(reward, None).close()  # raises: nothing could judge
