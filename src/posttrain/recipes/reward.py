"""The reward of a run: the terms of its settings, a Python function, or the task's own verifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from posttrain.config.sections import ComputeSection, DataSection, RewardSection, RewardTermSection
from posttrain.data.conversation_format import ConversationFormat
from posttrain.errors import ConfigError
from posttrain.models.language_model import LanguageModel
from posttrain.models.reward_model import RewardModel
from posttrain.recipes.setup import hide_progress_bars, resolve_device, resolve_dtype
from posttrain.rewards.build import RewardTerm, build_reward
from posttrain.rewards.functions import FunctionReward
from posttrain.rewards.in_process import LengthReward, VerifierReward
from posttrain.rewards.model_reward import ModelReward
from posttrain.rewards.weighted_sum import WeightedSum, WeightedTerm
from posttrain.rewards.worker import RewardLimits

RewardFunction = Callable[..., Sequence[float | None]]


def open_reward(
    section: RewardSection,
    verifier: RewardTerm | None,
    function: RewardFunction | None = None,
    *,
    compute: ComputeSection | None = None,
) -> WeightedSum:
    """The reward, with its worker processes started where functions of users are in it; close it after use.

    `function` is added to the section's terms. Without either, the task's verifier judges. Reward models are
    loaded as `compute` says. ConfigError when there is nothing that could judge, or when a function cannot be
    loaded; ModelError for a reward model that cannot be.
    """
    terms = [
        RewardTerm(
            name=term.name,
            function=term.function,
            style=term.style,
            weight=term.weight,
            options=term.options,
            label=term.label,
            model=_open_model(term, compute or ComputeSection()),
        )
        for term in section.terms
    ]
    if function is not None:
        terms.append(RewardTerm(function=function))
    if not terms and verifier is not None:
        terms.append(verifier)
    if not terms:
        raise ConfigError(
            "prompts from a file need a reward, and none is set. Add [[reward.terms]] with a verifier's name or a "
            "function of yours to the configuration, or pass reward= from Python."
        )
    limits = RewardLimits(
        time_limit_seconds=section.time_limit_seconds,
        memory_limit_mb=section.memory_limit_mb,
        num_workers=section.num_workers,
    )
    return build_reward(terms, limits=limits)


def highest_score(reward: WeightedSum) -> float | None:
    """The best score there is, where it is known: every term is a built-in one, which gives 1 at most."""
    if not all(isinstance(term.reward, VerifierReward | LengthReward) for term in reward.terms):
        return None
    return sum(max(term.weight, 0.0) for term in reward.terms)


def term_names(reward: WeightedSum) -> list[str]:
    """The terms by name, with what a run must find unchanged when it goes on.

    Those of users have a digest of their code, "brevity (code 1f2e...)"; reward models have one of their weights
    in the name itself, "reward_model@9a3b...": another model is another reward.
    """
    return [_told_apart(term) for term in reward.terms]


def introduce_policy(
    reward: WeightedSum, policy: LanguageModel, data: DataSection, note: Callable[[str], None]
) -> None:
    """Tells reward models who writes what they will read, so that they can read the ids as they were sampled."""
    written = ConversationFormat(data.system_prompt, data.text_format, data.use_chat_template)
    for term in reward.terms:
        if isinstance(term.reward, ModelReward) and isinstance(term.reward.scorer, RewardModel):
            term.reward.scorer.expect_policy(policy.tokenizer, written, note)


def refuse_token_lengths(reward: WeightedSum) -> None:
    """ConfigError for a term that counts tokens: responses that come as text have none."""
    for term in reward.terms:
        if isinstance(term.reward, LengthReward) and term.reward.unit == "tokens":
            raise ConfigError(
                f"the reward term {term.name!r} counts tokens, and a samples file holds texts only. Give it "
                'options = {unit = "words"} or "characters".'
            )


def gives_right_or_wrong(reward: WeightedSum) -> bool:
    """Whether a score is 1 for a right answer and 0 for a wrong one: a single verifier, not weighted."""
    return (
        len(reward.terms) == 1
        and highest_score(reward) == 1.0
        and isinstance(reward.terms[0].reward, VerifierReward)
    )


def _told_apart(term: WeightedTerm) -> str:
    if isinstance(term.reward, FunctionReward):
        return f"{term.name} (code {term.reward.fingerprint})"
    if isinstance(term.reward, ModelReward):
        return f"{term.name}@{term.reward.scorer.fingerprint}"
    return term.name


def _open_model(term: RewardTermSection, compute: ComputeSection) -> RewardModel | None:
    if term.model is None:
        return None
    hide_progress_bars()
    device = resolve_device(compute.device)
    dtype = resolve_dtype(compute.dtype, device)
    return RewardModel.open(term.model, dtype=dtype, device=device, normalize=term.normalize)
