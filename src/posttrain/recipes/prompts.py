"""The prompts of a run: where they come from, checked before a model is loaded, and rendered when one is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


def open_prompts(section: DataSection, seed: int) -> Prompts:
    """The prompts of the file or task; every line is checked. DataError or ConfigError says what is wrong."""
    named = load_prompts(section.held_out_path) if section.held_out_path else None
    if section.path is not None:
        return Prompts(section, load_prompts(section.path), named or [], verifier=None)
    assert section.task is not None
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
        self.stream = PromptStream(train, seed=seed)
        self.held_out = self._short_enough(self._encode(prompts.held_out[:num_held_out]), note)

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
