"""Plain frozen records that the rooms hand to each other: prompt + response = rollout.

Nothing here knows a tensor, a model or a file; only the standard library is imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

FinishReason = Literal["eos", "stop", "length"]
"""Why a response ended: an end-of-sequence id was sampled, a stop string appeared, or the budget ran out."""


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked, and the further columns that the reward sees.

    `content` is plain text or chat messages. `token_ids` is empty until `data.chat_template` has rendered
    it, which is the only place that does. `epoch` counts the passes over the data: the same prompt drawn in
    two passes forms two groups and draws other random numbers.

    Example:
        Prompt(prompt_id="sums/17", content="What is 3 + 4?", columns={"answer": "7"})
    """

    prompt_id: str
    content: str | tuple[Message, ...]
    columns: Mapping[str, Any] = field(default_factory=dict)
    token_ids: tuple[int, ...] = ()
    epoch: int = 0

    @property
    def group_id(self) -> str:
        """The name of the group that this prompt's responses form."""
        return f"{self.prompt_id}@{self.epoch}"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one call of an engine draws tokens: every field explicit, so that no model default slips in.

    `seed`, `step`, the prompt's `group_id` and the sample index name one stream of random numbers, so any
    single response can be made again without its neighbours.
    Neutral values: `top_p=1.0`, `top_k=0`, `min_p=0.0`, `stop=()`. `temperature=0.0` means greedy and is for
    evaluation only; its logprobs are those at temperature 1.
    """

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    max_new_tokens: int
    stop: tuple[str, ...]
    eos_token_ids: tuple[int, ...]
    seed: int
    step: int

    def at_step(self, step: int) -> Sampling:
        """The same sampling, with the random numbers of another step."""
        return dataclasses.replace(self, step=step)


@dataclass(frozen=True, slots=True)
class Rollout:
    """A prompt and one response to it, as token ids that never go through text again.

    `response_ids` holds every sampled id, the end-of-sequence id included. `rollout_logprobs` are the
    natural-log probabilities that the ids were drawn with (after temperature and truncation of the
    distribution). `text` is the response for reward functions and people: no end-of-sequence token, cut
    before the stop string.
    """

    prompt: Prompt
    sample_index: int
    response_ids: tuple[int, ...]
    rollout_logprobs: tuple[float, ...]
    finish_reason: FinishReason
    text: str
    policy_version: int

    @property
    def is_complete(self) -> bool:
        """True unless the response was cut by length."""
        return self.finish_reason != "length"


@dataclass(frozen=True, slots=True)
class Score:
    """What a reward says of one rollout: a number, or why there is none.

    `value` is None when the rollout could not be scored, and `failure` then says why (with the traceback
    where there is one). `parts` are the named terms before weighting.
    """

    value: float | None
    parts: Mapping[str, float | None] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class ScoredRollout:
    """A rollout with its score."""

    rollout: Rollout
    score: Score


@dataclass(frozen=True, slots=True)
class Ranking:
    """One person's judgement of the responses to one prompt: `ranks[i]` is that of `responses[i]`.

    0 is the best rank, equal ranks are a tie. `weight` is how much the judgement counts beside others;
    `margin` by how much a better response should be ahead of a worse one in reward. `finish_reasons` say of each
    response why it ended; they are empty where that is not known.

    Example: the second of three is the best, the others are equally bad:
        Ranking("q/1", "What is 3 + 4?", ("8", "7", "9"), ranks=(1, 0, 1), annotator="anna")
    """

    ranking_id: str
    prompt: str | tuple[Message, ...]
    responses: tuple[str, ...]
    ranks: tuple[int, ...]
    annotator: str = ""
    weight: float = 1.0
    margin: float = 0.0
    finish_reasons: tuple[FinishReason, ...] = ()
