"""The held-out score of a model that lies on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from posttrain.config.inference import EvaluateConfig
from posttrain.errors import DataError
from posttrain.evaluation.evaluate import Evaluation, evaluate
from posttrain.recipes.prompts import RenderedPrompts, open_prompts
from posttrain.recipes.reward import gives_right_or_wrong, introduce_policy, open_reward
from posttrain.recipes.setup import load_policy, sampling_of
from posttrain.rollouts.torch_engine import TorchEngine


@dataclass(frozen=True)
class HeldOutScore:
    """An evaluation; `is_exact` says that a score is 1 for a right answer and 0 for a wrong one."""

    evaluation: Evaluation
    is_exact: bool


def held_out_score(
    config: EvaluateConfig,
    *,
    note: Callable[[str], None],
    before_loading: Callable[[], object] = lambda: None,
) -> HeldOutScore:
    """Scores `config.model` on the held-out prompts of `config.data`.

    `before_loading` runs when the prompts are checked and no model is loaded yet. DataError when nothing is held
    out, ConfigError or ModelError for what else cannot work.
    """
    prompts = open_prompts(config.data, config.seed, only_held_out=True)
    if not prompts.held_out:
        raise DataError(
            "there is nothing to evaluate on: data.path is for training. Name the prompts as data.held_out_path, "
            "and the reward in reward.terms."
        )
    before_loading()
    with open_reward(config.reward, prompts.verifier, compute=config.compute) as judge:
        policy = load_policy(config.model, config.compute)
        introduce_policy(judge, policy, config.data, note)
        rendered = RenderedPrompts(
            prompts,
            policy.tokenizer,
            seed=config.seed,
            num_held_out=config.evaluation.num_prompts,
            note=note,
        )
        engine = TorchEngine(policy, shares_weights=True, max_rows=config.compute.rollout_rows)
        found = evaluate(
            engine,
            rendered.held_out,
            judge,
            sampling_of(config.sampling, policy, config.seed),
            config.evaluation.samples_per_prompt,
            max_unscored_share=config.reward.max_unscored_share,
        )
        return HeldOutScore(found, gives_right_or_wrong(judge))
