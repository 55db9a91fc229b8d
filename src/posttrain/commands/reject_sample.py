"""`posttrain reject-sample`: the best responses become demonstrations, and what became of the others."""

from __future__ import annotations

from rich.console import Console

from posttrain.commands.output_file import check_output
from posttrain.config.reject_sample import RejectSampleConfig
from posttrain.recipes.reject_sample import RejectSampleResult, reject_sample
from posttrain.runs.metric_names import count_text


def choose_responses(config: RejectSampleConfig) -> None:
    """Scores, keeps the best, and prints the counts."""
    check_output(config.output)
    result = reject_sample(config)
    for line in in_words(result):
        Console().print(line, highlight=False, markup=False, soft_wrap=True)


def in_words(result: RejectSampleResult) -> list[str]:
    """What was kept, and why the others were not."""
    reasons = {
        "cut by length": result.num_cut,
        "empty or no valid text": result.num_empty,
        "could not be scored": result.num_unscored,
        "below min_score": result.num_below,
        "the same text as another": result.num_duplicates,
        "good, but more than keep_per_prompt": result.num_surplus,
    }
    lines = [
        f"{count_text(result.num_prompts, 'prompt')}, {count_text(result.num_responses, 'response')}, "
        f"{result.num_kept} kept with a mean score of {result.mean_score:.3g}"
    ]
    lines += [f"  {count} rejected: {reason}" for reason, count in reasons.items() if count]
    if result.num_prompts_without:
        lines.append(f"{count_text(result.num_prompts_without, 'prompt')} without a response that was kept")
    return [*lines, f"demonstrations {result.output}"]
