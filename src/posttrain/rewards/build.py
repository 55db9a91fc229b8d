"""A plain list of terms becomes a reward; every unknown name is an error that gives the nearest known one."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posttrain.errors import ConfigError
from posttrain.rewards import verifiers
from posttrain.rewards.functions import FunctionReward, Style
from posttrain.rewards.in_process import LengthReward, VerifierReward
from posttrain.rewards.language_consistency import check_script, language_consistency
from posttrain.rewards.model_reward import ModelReward, Scorer
from posttrain.rewards.reward import Reward
from posttrain.rewards.weighted_sum import Incomplete, WeightedSum, WeightedTerm
from posttrain.rewards.worker import RewardLimits

VERIFIERS: Mapping[str, Callable[..., float]] = {
    "exact_answer": verifiers.exact_answer,
    "format_reward": verifiers.format_reward,
    "language_consistency": language_consistency,
    "regular_expression": verifiers.regular_expression,
    "contains": verifiers.contains,
    "countdown": verifiers.countdown,
    "sorting": verifiers.sorting,
}
"""The built-in verifiers that a term can name; `length_reward` and `reasoning_gym` can be named as well."""

REWARD_NAMES = (*VERIFIERS, "length_reward", "reasoning_gym")


@dataclass(frozen=True, slots=True)
class RewardTerm:
    """One term of the reward: a built-in `name`, a user's `function` or an opened reward `model`, with its weight.

    `function` is "path/to/file.py:function" or a Python callable, `style` how it is called ("trl", "verl",
    "verifier"), `options` further keyword arguments, `label` the term's name among the parts.
    """

    name: str | None = None
    function: str | Callable[..., Any] | None = None
    style: Style = "trl"
    weight: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None
    model: Scorer | None = None


def build_reward(
    terms: Sequence[RewardTerm],
    *,
    limits: RewardLimits | None = None,
    incomplete: Incomplete = "score",
    folder: Path | None = None,
    check: bool = True,
) -> WeightedSum:
    """The weighted sum of the terms; close it (or use `with`) to end its worker processes.

    Relative paths of functions start at `folder` (default: the current one). `check=True` loads every user's
    function in a worker now. ConfigError for anything that cannot work.
    """
    weighted: list[WeightedTerm] = []
    try:
        for term in terms:
            reward, name = _reward_of(term, limits or RewardLimits(), folder)
            weighted.append(WeightedTerm(term.label or name, reward, term.weight))
        combined = WeightedSum(weighted, incomplete=incomplete)
        if check:
            for weighted_term in weighted:
                if isinstance(weighted_term.reward, FunctionReward):
                    weighted_term.reward.check()
    except BaseException:
        for weighted_term in weighted:
            if isinstance(weighted_term.reward, FunctionReward):
                weighted_term.reward.close()
        raise
    return combined


def nearest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?", or the list of what is known."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known)) or 'none'}"


def _reward_of(term: RewardTerm, limits: RewardLimits, folder: Path | None) -> tuple[Reward, str]:
    if sum(kind is not None for kind in (term.name, term.function, term.model)) != 1:
        raise ConfigError(
            "a reward term needs one of `name` (a built-in verifier), `function` and `model` (a reward model)"
        )
    if term.model is not None:
        return ModelReward(term.model), "reward_model"
    if term.function is not None:
        reward = FunctionReward(
            term.function, style=term.style, options=term.options, limits=limits, folder=folder
        )
        return reward, reward.name
    assert term.name is not None
    if term.name == "length_reward":
        _check_options(term, list(LengthReward.__dataclass_fields__))
        return LengthReward(**term.options), term.name
    if term.name == "reasoning_gym":
        from posttrain.rewards.reasoning_gym_score import score_answer

        _check_options(term, [])
        return FunctionReward(score_answer, style="verifier", limits=limits), term.name
    if term.name not in VERIFIERS:
        raise ConfigError(f"there is no built-in reward {term.name!r}{nearest(term.name, REWARD_NAMES)}")
    verifier = VERIFIERS[term.name]
    parameters = inspect.signature(verifier).parameters.values()
    keywords = {
        parameter.name: parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY
    }
    _check_options(term, keywords)
    for name, parameter in keywords.items():
        if parameter.default is parameter.empty and name not in term.options:
            raise ConfigError(f"the reward {term.name!r} needs the option {name!r}")
    _check_values(term)
    return VerifierReward(verifier, dict(term.options)), term.name


def _check_options(term: RewardTerm, known: Iterable[str]) -> None:
    known = list(known)
    for option in term.options:
        if option not in known:
            raise ConfigError(f"the reward {term.name!r} has no option {option!r}{nearest(option, known)}")


_CHOICES = {
    ("exact_answer", "mode"): ("final", "last_number", "whole"),
    ("regular_expression", "match"): ("whole", "anywhere"),
    ("language_consistency", "part"): ("think", "all"),
}


def _check_values(term: RewardTerm) -> None:
    for option, value in term.options.items():
        allowed = _CHOICES.get((term.name or "", option))
        if allowed and value not in allowed:
            raise ConfigError(
                f"the reward {term.name!r}: {option} is one of {', '.join(allowed)}, not {value!r}"
            )
    if term.name == "regular_expression":
        verifiers.compiled_pattern(term.options["pattern"])
    if term.name == "language_consistency":
        check_script(term.options.get("script", "Latin"))
