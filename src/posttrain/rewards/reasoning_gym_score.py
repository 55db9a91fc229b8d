"""The verifier of reasoning-gym's tasks: the data set's own `score_answer`, run in an isolated worker."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from posttrain.rewards.final_answer import after_thinking, final_answer


def score_answer(completion: str, columns: Mapping[str, Any]) -> float:
    """What the data set that made the problem says of the completion's final answer, between 0 and 1.

    The answer is the marked one (`<answer>`, a box, "the answer is"), else the whole trimmed completion.
    """
    found = final_answer(completion)
    if found is not None and found.marked_by != "last_line":
        answer = found.text.strip()
    else:
        answer = (after_thinking(completion) or "").strip()
    dataset = _dataset(
        columns["reasoning_gym_name"], tuple(sorted(columns["reasoning_gym_parameters"].items()))
    )
    return float(dataset.score_answer(answer, dict(columns["reasoning_gym_entry"])))


@lru_cache(maxsize=16)
def _dataset(name: str, parameters: tuple[tuple[str, Any], ...]) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(name, **{**dict(parameters), "size": 1, "seed": 0})
