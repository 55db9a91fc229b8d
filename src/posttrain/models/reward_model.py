"""A trained reward model as it is used: frozen, calibrated, and reading text as it was trained to."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from posttrain.batches import TokenBatch
from posttrain.batches.splitting import plan_microbatches
from posttrain.data.chat_template import end_of_response
from posttrain.data.conversation_format import ConversationFormat, reads_the_same
from posttrain.errors import ModelError
from posttrain.models.decoder import evaluating
from posttrain.models.loading import DESCRIPTION_FILE
from posttrain.models.scalar_model import ScalarModel, load_scalar_model
from posttrain.types import Rollout

BATCH_TOKENS = 8192
"""Padded tokens of one forward pass without a graph."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Where the raw scores of reference answers lie: `(raw - mean) / scale` has mean 0 and deviation 1 on them.

    Bradley-Terry sees differences only, so the level of raw scores means nothing. `answers` says in words which
    they were.
    """

    mean: float
    scale: float
    num_answers: int
    answers: str

    @classmethod
    def of_scores(cls, raw_scores: Sequence[float], answers: str) -> Calibration:
        """Mean and standard deviation (n - 1) of the scores; scale 1 where they do not vary. ModelError below 2."""
        if len(raw_scores) < 2 or not all(map(math.isfinite, raw_scores)):
            raise ModelError(
                f"the reward model cannot be calibrated on {len(raw_scores)} answers ({answers}): at least 2 finite "
                "scores are needed. Name more answers in calibration.path, or lower the learning rate if the "
                "scores are not finite."
            )
        mean = math.fsum(raw_scores) / len(raw_scores)
        variance = math.fsum((score - mean) ** 2 for score in raw_scores) / (len(raw_scores) - 1)
        return cls(mean, math.sqrt(variance) or 1.0, len(raw_scores), answers)


@dataclass(frozen=True, slots=True)
class RewardModelDescription:
    """What must be known to use the weights: how conversations are written, and where scores lie."""

    conversation: ConversationFormat = field(default_factory=ConversationFormat)
    calibration: Calibration | None = None

    def write(self, folder: Path) -> None:
        """Puts the description beside the weights."""
        (folder / DESCRIPTION_FILE).write_text(self.to_json() + "\n", encoding="utf-8")

    def check_calibrated(self, name: str) -> None:
        """ModelError when the model of this name cannot give normalised scores."""
        if self.calibration is None:
            raise ModelError(
                f"the reward model {name} has no calibration (mean and scale of reference answers), so its scores "
                "cannot be normalised. Set normalize = false on its reward term, or name the `model` folder of a "
                "finished reward_model run."
            )

    def to_json(self) -> str:
        """The same description gives the same text."""
        calibration = None if self.calibration is None else dataclasses.asdict(self.calibration)
        values = {"format": 1, "conversation": self.conversation.to_dict(), "calibration": calibration}
        return json.dumps(values, indent=2, sort_keys=True)

    @classmethod
    def read(cls, name: str) -> RewardModelDescription:
        """That of the folder or Hub id; a model that was trained elsewhere has none and gets the defaults."""
        from transformers.utils.hub import cached_file

        try:
            path = cached_file(
                name,
                DESCRIPTION_FILE,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )
            if path is None:
                return cls()
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            calibration = values["calibration"]
            return cls(
                ConversationFormat.from_dict(values["conversation"]),
                None if calibration is None else Calibration(**calibration),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{name}: {DESCRIPTION_FILE} cannot be read ({error}). It says how text is written for the reward "
                "model; take the folder again from the run that made it."
            ) from error


class RewardModel:
    """A scalar model that scores complete responses; frozen, in eval mode, never with a graph.

    `normalize` gives `(raw - mean) / scale` of the stored calibration instead of raw scores. Rollouts are read
    as sampled once `expect_policy` has found that the policy writes as this model was trained; else, and before
    it was asked, their prompts' contents and texts are written anew for this model.
    """

    def __init__(
        self,
        scalar_model: ScalarModel,
        description: RewardModelDescription | None = None,
        *,
        normalize: bool = True,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        self.description = description or RewardModelDescription()
        if normalize:
            self.description.check_calibrated(scalar_model.name)
        self._scalar_model = scalar_model
        self._normalize = normalize
        self._batch_tokens = batch_tokens
        self._reads_as_sampled = False
        self._policy_format: ConversationFormat | None = None
        scalar_model.model.requires_grad_(False)
        scalar_model.model.eval()

    @classmethod
    def open(
        cls, name: str | Path, *, dtype: torch.dtype, device: torch.device | str, normalize: bool = True
    ) -> RewardModel:
        """The reward model of this folder or Hub id. ModelError when there is none, or it does not fit."""
        scalar_model = load_scalar_model(name, dtype=dtype, device=device)
        return cls(scalar_model, RewardModelDescription.read(str(name)), normalize=normalize)

    @property
    def num_parameters(self) -> int:
        """Parameters of the model, tied ones once."""
        return sum(parameter.numel() for parameter in self._scalar_model.model.parameters())

    @cached_property
    def fingerprint(self) -> str:
        """12 digits that differ when a weight, the calibration, the format or `normalize` does."""
        digest = hashlib.sha256(f"{self.description.to_json()}{self._normalize}".encode())
        for name, parameter in sorted(self._scalar_model.model.named_parameters()):
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()[:12]

    def expect_policy(
        self, tokenizer: Any, conversation: ConversationFormat, note: Callable[[str], None]
    ) -> None:
        """Rollouts now come from a policy with this tokenizer and format; `note` hears if they are written anew."""
        own = self._scalar_model.tokenizer
        self._reads_as_sampled = reads_the_same(own, self.description.conversation, tokenizer, conversation)
        self._policy_format = conversation
        if not self._reads_as_sampled:
            note(
                f"the reward model {self._scalar_model.name} has another tokenizer, chat template or text format than "
                "the policy: it reads prompts and responses as text, written anew in its own way"
            )

    def score_rollouts(self, rollouts: Sequence[Rollout]) -> list[float]:
        """The score of each rollout as if it were complete; NaN where it is longer than the model was made for.

        DataError when a prompt cannot be rendered for this model.
        """
        read = self._as_sampled(rollouts) if self._reads_as_sampled else self._written_anew(rollouts)
        limit = self._scalar_model.max_length or math.inf
        fits = [len(r.prompt.token_ids) + len(r.response_ids) <= limit for r in read]
        raw = iter(
            self.raw_scores(TokenBatch.from_rollouts([r for r, ok in zip(read, fits, strict=True) if ok]))
        )
        return [self._normalized(next(raw)) if ok else math.nan for ok in fits]

    def raw_scores(self, tokens: TokenBatch) -> list[float]:
        """What the head says of each row, in order, whatever `normalize` is."""
        return raw_scores(self._scalar_model, tokens, batch_tokens=self._batch_tokens)

    def _normalized(self, raw: float) -> float:
        calibration = self.description.calibration
        if not self._normalize or calibration is None:
            return raw
        return (raw - calibration.mean) / calibration.scale

    def _as_sampled(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The sampled ids; only the end is made the one that the model was trained with."""
        conversation, tokenizer = self.description.conversation, self._scalar_model.tokenizer
        end = end_of_response(tokenizer, use_chat_template=conversation.use_chat_template)
        return [
            dataclasses.replace(
                rollout,
                response_ids=(*rollout.response_ids[:-1], end)
                if rollout.finish_reason == "eos"
                # Behind a stop string there is no end token, and the string is no part of the text.
                else conversation.encode_response(rollout.text, tokenizer),
            )
            for rollout in rollouts
        ]

    def _written_anew(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        conversation, tokenizer = self.description.conversation, self._scalar_model.tokenizer
        policy_says = self._policy_format.system_prompt if self._policy_format else None
        if policy_says is not None and conversation.uses_chat_template(tokenizer):
            conversation = dataclasses.replace(conversation, system_prompt=policy_says)
        # Each prompt once: a group's rollouts share it.
        prompts = {id(rollout.prompt): rollout.prompt for rollout in rollouts}
        encoded = dict(
            zip(prompts, conversation.encode_prompts(list(prompts.values()), tokenizer), strict=True)
        )
        return [
            dataclasses.replace(
                rollout,
                prompt=encoded[id(rollout.prompt)],
                response_ids=conversation.encode_response(rollout.text, tokenizer),
            )
            for rollout in rollouts
        ]


def raw_scores(
    scalar_model: ScalarModel, tokens: TokenBatch, *, batch_tokens: int = BATCH_TOKENS
) -> list[float]:
    """The head's number at the last real token of each row, in order, without a graph.

    Rows of about one length go through together, and a prompt that several have is computed once.
    """
    scores = [math.nan] * len(tokens)
    lengths, everything = tokens.lengths.tolist(), [True] * len(tokens)
    plan = plan_microbatches(lengths, everything, budget=batch_tokens, groups=tokens.prompt_groups)
    with torch.no_grad(), evaluating(scalar_model.model):
        for rows in plan:
            found = scalar_model.end_values(tokens.select(rows).to(scalar_model.device)).tolist()
            for row, score in zip(rows, found, strict=True):
                scores[row] = score
    return scores
