"""Fixed prompts become metrics, and two models are compared on them. Imports no torch.

Flow: engine + prompts + reward -> `evaluate` -> `Evaluation` -> `compare` with another -> tables.
"""

from posttrain.evaluation.evaluate import Evaluation, PromptResult, evaluate, evaluation_sampling
from posttrain.evaluation.intervals import pass_at_k
from posttrain.evaluation.printable import printable
from posttrain.evaluation.sample import Sample
from posttrain.evaluation.table import (
    Comparison,
    compare,
    comparison_table,
    samples_table,
)

__all__ = [
    "Comparison",
    "Evaluation",
    "PromptResult",
    "Sample",
    "compare",
    "comparison_table",
    "evaluate",
    "evaluation_sampling",
    "pass_at_k",
    "printable",
    "samples_table",
]
