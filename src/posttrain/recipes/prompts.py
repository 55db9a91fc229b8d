"""The prompts of a run: where they come from, checked before a model is loaded, and rendered when one is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from posttrain.config.sections import DataSection
from posttrain.data.chat_template import encode_prompts, split_by_length
from posttrain.data.prompt_stream import PromptStream
from posttrain.data.prompts import load_prompts
from posttrain.data.tasks import Problems, make_task
from posttrain.errors import DataError
from posttrain.rewards.build import RewardTerm
from posttrain.types import Prompt


@dataclass(frozen=True)
class Prompts:
    """Prompts to train on and to evaluate on, not rendered yet; `verifier` is the task's own, if it is a task.

    `held_out` is empty where a file was given and no second one to hold out.
    """

    section: DataSection
    train: Sequence[Prompt]
    held_out: Sequence[Prompt]
    verifier: RewardTerm | None

    def to_be_answered(self, prompts: Sequence[Prompt]) -> Prompts:
        """These alone, as the held-out ones: how what only samples asks them. There is nothing to train on."""
        return dataclasses.replace(self, train=[], held_out=prompts)


def open_prompts(section: DataSection, seed: int, *, only_held_out: bool = False) -> Prompts:
    """The prompts of the file or task; every line is checked. DataError or ConfigError says what is wrong.

    With `only_held_out` a training file is not read.
    """
    named = load_prompts(section.held_out_path) if section.held_out_path else None
    if section.task is None:
        reads_training = section.path is not None and not only_held_out
        train = load_prompts(section.path) if reads_training and section.path is not None else []
        return Prompts(section, train, named or [], verifier=None)
    task = make_task(section.task, section.task_options)
    verifier = RewardTerm(name=task.verifier, options=task.verifier_options)
    held_out = named or Problems(task, "held_out", seed=seed)
    return Prompts(section, Problems(task, "train", seed=seed), held_out, verifier)


class RenderedPrompts:
    """A stream of prompts with token ids, and the rendered held-out ones."""

    def __init__(
        self,
        prompts: Prompts,
        tokenizer: Any,
        *,
        seed: int,
        num_held_out: int,
        note: Callable[[str], None],
    ) -> None:
        self._section = prompts.section
        self._tokenizer = tokenizer
        train = prompts.train
        if self._section.task is None:
            train = self._short_enough(self._encode(train), note)
        self._train, self._seed = train, seed
        self.held_out = self._short_enough(self._encode(prompts.held_out[:num_held_out]), note)

    @cached_property
    def stream(self) -> PromptStream:
        """Where in the training prompts the run is."""
        return PromptStream(self._train, seed=self._seed)

    def check_lengths(self, max_new_tokens: int, max_length: int | None) -> None:
        """DataError, before any step, when a prompt leaves no room for a response in the model's maximum length."""
        known = [
            *self.held_out,
            *(self._train if self._section.task is None else self._encode(self._train[:1])),
        ]
        longest = max(known, key=lambda prompt: len(prompt.token_ids))
        if max_length is not None and len(longest.token_ids) + max_new_tokens > max_length:
            raise DataError(
                f"the prompt {longest.prompt_id} has {len(longest.token_ids)} tokens; with sampling.max_new_tokens = "
                f"{max_new_tokens} that is more than the {max_length} that the model was made for. Lower "
                "sampling.max_new_tokens, or leave long prompts out with data.max_prompt_tokens."
            )

    def take(self, n: int) -> list[Prompt]:
        """The next `n` prompts, rendered. DataError for a task's problem that is too long."""
        taken = self._encode(self.stream.take(n))
        if too_long := split_by_length(taken, self._section.max_prompt_tokens).too_long:
            raise DataError(
                f"the problem {too_long[0].prompt_id} has {len(too_long[0].token_ids)} tokens, and "
                f"data.max_prompt_tokens is {self._section.max_prompt_tokens}. Raise it, or make the task smaller."
            )
        return taken

    def _encode(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        if all(prompt.token_ids for prompt in prompts):
            return list(prompts)
        section = self._section
        return encode_prompts(
            prompts,
            self._tokenizer,
            system_prompt=section.system_prompt,
            text_format=section.text_format,
            use_chat_template=section.use_chat_template,
        )

    def _short_enough(self, prompts: Sequence[Prompt], note: Callable[[str], None]) -> list[Prompt]:
        lengths = split_by_length(prompts, self._section.max_prompt_tokens)
        if lengths.too_long:
            limit = self._section.max_prompt_tokens
            note(
                f"{len(lengths.too_long)} of {len(prompts)} prompts have more than data.max_prompt_tokens = {limit} "
                f"tokens and are left out, the first is {lengths.too_long[0].prompt_id}"
            )
        return lengths.kept
