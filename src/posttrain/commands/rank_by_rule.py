"""`posttrain rank-by-rule`: rankings by a stated rule, in the place of people."""

from __future__ import annotations

from rich.console import Console

from posttrain.commands.output_file import check_output
from posttrain.config.rank import RankByRuleConfig
from posttrain.recipes.rank_by_rule import RankByRuleResult, rank_by_rule
from posttrain.runs.metric_names import count_text


def rank_samples_by_rule(config: RankByRuleConfig) -> None:
    """Ranks, and says how many rankings there are and how well they agree with the rule."""
    check_output(config.output)
    result = rank_by_rule(config)
    console = Console()
    if 0 < result.num_rankings == result.num_all_equal:
        console.print(
            "[yellow]look at:[/yellow] every ranking holds all responses for equal, so a reward model can learn "
            "nothing from them. Use a rule that tells responses apart, or sample more of them or hotter.",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"{summary(result)}\nrankings {result.rankings_file}", highlight=False, soft_wrap=True)


def summary(result: RankByRuleResult) -> str:
    """What came of it in one line."""
    parts = [count_text(result.num_rankings, "ranking")]
    if result.agreement is not None:
        parts.append(f"{100 * result.agreement:.1f} % of unequal pairs in the rule's order")
    counted = (
        (result.num_all_equal, "ranking", "with all responses equal"),
        (result.num_single, "prompt", "left out with a single response"),
        (result.num_unscored, "prompt", "left out that could not be judged"),
    )
    return ", ".join(
        [*parts, *(f"{count_text(count, what)} {which}" for count, what, which in counted if count)]
    )
