"""An engine that says what it was told to: for tests of everything behind an engine, and for documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from posttrain.rollouts.checks import check_call
from posttrain.rollouts.engine import Progress
from posttrain.rollouts.stopping import Stopping
from posttrain.types import Prompt, Rollout, Sampling

Response = str | Sequence[int]
"""What the model is to say: text, or the very ids."""

Script = Mapping[str, Sequence[Response]] | Callable[[Prompt, int, int], Response]
"""Responses by `prompt_id`, sample i taking number i (round and round), or a function of
(prompt, sample index, policy version)."""


class Request(NamedTuple):
    """One call of `generate`, as it came."""

    prompts: tuple[Prompt, ...]
    sampling: Sampling
    responses_per_prompt: int


class ScriptedEngine:
    """A `RolloutEngine` without a model.

    A response gets the first of `sampling.eos_token_ids` at its end unless it has one, and then goes through
    the rules of every engine: budget, end of sequence, stop strings. Each id has the logprob `logprob`.
    `requests` keeps every call, `policy_version` the version loaded last.

    Example:
        engine = ScriptedEngine({"sums/17": ["7", "8"]}, tokenizer)
    """

    def __init__(
        self, script: Script, tokenizer: Any, *, logprob: float = -1.0, policy_version: int = 0
    ) -> None:
        self._script = script
        self._tokenizer = tokenizer
        self._logprob = logprob
        self.policy_version = policy_version
        self.requests: list[Request] = []

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        responses_per_prompt: int,
        *,
        progress: Progress | None = None,
    ) -> list[Rollout]:
        """The scripted rollouts in the prompts' order; ValueError for a prompt that the script lacks."""
        check_call(prompts, sampling, responses_per_prompt)
        self.requests.append(Request(tuple(prompts), sampling, responses_per_prompt))
        stopping = Stopping(self._tokenizer, sampling)
        rollouts: list[Rollout] = []
        for prompt in prompts:
            for sample_index in range(responses_per_prompt):
                rollouts.append(self._rollout(prompt, sample_index, sampling, stopping))
                if progress is not None:
                    total = len(prompts) * responses_per_prompt
                    progress(len(rollouts), total, sum(len(r.response_ids) for r in rollouts))
        return rollouts

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]], policy_version: int) -> None:
        """Goes through the tensors without keeping them, and stamps later rollouts with the version."""
        for _ in named_tensors:
            pass
        self.policy_version = policy_version

    def _rollout(self, prompt: Prompt, sample_index: int, sampling: Sampling, stopping: Stopping) -> Rollout:
        wanted = self._wanted(prompt, sample_index, sampling)
        ids: list[int] = []
        reason = None
        for token_id in wanted:
            ids.append(token_id)
            reason = stopping.reason(ids)
            if reason is not None:
                break
        if reason is None:
            raise ValueError(
                f"the scripted response to {prompt.prompt_id!r} has {len(ids)} ids, fewer than max_new_tokens = "
                f"{sampling.max_new_tokens}, and sampling.eos_token_ids is empty: nothing ends it. "
                "Give an end-of-sequence id."
            )
        return Rollout(
            prompt=prompt,
            sample_index=sample_index,
            response_ids=tuple(ids),
            rollout_logprobs=(self._logprob,) * len(ids),
            finish_reason=reason,
            text=stopping.text(ids, reason),
            policy_version=self.policy_version,
        )

    def _wanted(self, prompt: Prompt, sample_index: int, sampling: Sampling) -> list[int]:
        if callable(self._script):
            response = self._script(prompt, sample_index, self.policy_version)
        else:
            if not self._script.get(prompt.prompt_id):
                known = ", ".join(sorted(self._script)[:5])
                raise ValueError(f"the script has no response to {prompt.prompt_id!r}; it has {known}")
            responses = self._script[prompt.prompt_id]
            response = responses[sample_index % len(responses)]
        if isinstance(response, str):
            response = self._tokenizer.encode(response, add_special_tokens=False)
        return [*response, *sampling.eos_token_ids[:1]]
