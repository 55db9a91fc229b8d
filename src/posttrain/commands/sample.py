"""`posttrain sample`: N responses for each prompt, to be ranked."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape

from posttrain.commands.run_ending import INTERRUPTED
from posttrain.config.sample import SampleConfig
from posttrain.recipes.sample import SampleResult, sample
from posttrain.runs.metric_names import count_text


def sample_responses(config: SampleConfig) -> None:
    """Samples or goes on sampling, and says what is in the file."""
    result = sample(config)
    lines = [summary(result), f"responses {result.responses_file}"]
    if config.store is not None:
        lines.append(
            f"{result.num_to_rank} of the prompts are in {config.store}; to rank: posttrain rank {config.store}"
        )
    Console().print(escape("\n".join(lines)), highlight=False, soft_wrap=True)
    if not result.is_complete:
        sys.exit(INTERRUPTED)


def summary(result: SampleResult) -> str:
    """What came of it in one line."""
    parts = [f"{count_text(result.num_responses, 'response')} to {count_text(result.num_prompts, 'prompt')}"]
    if result.num_duplicates:
        parts.append(f"{count_text(result.num_duplicates, 'duplicate')} left out")
    if result.num_incomplete:
        parts.append(f"{count_text(result.num_incomplete, 'prompt')} with fewer than were asked for")
    return ", ".join(parts)
