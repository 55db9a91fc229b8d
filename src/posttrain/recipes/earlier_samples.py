"""What lies in a sample run's folder from an earlier start: whether this start may go on behind it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posttrain.config.sample import SampleConfig
from posttrain.config.sections import as_toml_values
from posttrain.data.messages import with_system_prompt
from posttrain.errors import ConfigError, DataError
from posttrain.preferences.sampled_prompt import SampledPrompt, read_samples
from posttrain.runs.line_file import count_lines, keep_lines
from posttrain.runs.resume import compare_configs, refuse_changes
from posttrain.runs.run_folder import RunFolder
from posttrain.types import Prompt

MAY_CHANGE_ON_RESUME = frozenset({"output", "num_prompts", "compute.rollout_rows", "store", "store_prefix"})
"""More prompts come after those that are done; rollout_rows moves the last bits of probabilities, no more. A store is
filled from the file, whenever it is named."""


def refuse_another_experiment(
    config: SampleConfig, folder: RunFolder, file: Path, prompts: Sequence[Prompt]
) -> None:
    """ConfigError for settings, DataError for prompts, that would mix two experiments in one file."""
    num_lines = count_lines(file)
    if folder.is_run:
        differences = compare_configs(folder.read_config(), as_toml_values(config), MAY_CHANGE_ON_RESUME)
        if num_lines:
            refuse_changes(differences)
        elif differences:
            folder.write_facts({})
    if not num_lines:
        return
    keep_lines(file, num_lines)  # without what a crash left half-written
    if num_lines > len(prompts):
        raise ConfigError(
            f"num_prompts = {len(prompts)}, but {num_lines} prompts of {file} are answered already. "
            f"Set num_prompts to {num_lines} or more, or choose another output."
        )
    # In order, though some of the prompts may have been too long for the model.
    asked = iter(prompts)
    for line, done in enumerate(read_samples(file), start=1):
        if not any(_as_asked(config, prompt) == _as_answered(done) for prompt in asked):
            raise DataError(
                f"{file}, line {line}: answers {done.sample_id!r}, which is not among the prompts in this place any "
                "more, or with other columns: the data has changed. Restore it, or choose another output folder."
            )


def keep_the_same_dtype(folder: RunFolder, dtype: str) -> None:
    """ConfigError where the responses so far were computed in another one; else it is remembered."""
    facts: dict[str, Any] = folder.read_facts()
    if facts.get("dtype", dtype) != dtype:
        raise ConfigError(
            f"the responses so far were computed in {facts['dtype']}, and these would be in {dtype}. "
            f'Set compute.dtype = "{facts["dtype"]}", or choose another output folder.'
        )
    folder.write_facts({**facts, "dtype": dtype})


def _as_asked(config: SampleConfig, prompt: Prompt) -> list[Any]:
    content = with_system_prompt(prompt.content, config.data.system_prompt)
    # Through JSON and back, as the file's lines went.
    row: list[Any] = json.loads(json.dumps([prompt.prompt_id, content, dict(prompt.columns)]))
    return row


def _as_answered(done: SampledPrompt) -> list[Any]:
    row: list[Any] = json.loads(json.dumps([done.sample_id, done.prompt, dict(done.columns)]))
    return row
