"""The measurement as plain values for a JSON file; the same settings give the same file."""

from __future__ import annotations

import dataclasses
from typing import Any

from posttrain.lab.advantage_lab import AdvantageLab, Cell
from posttrain.lab.dartboard import BOARD_WORDS, Dartboard
from posttrain.lab.estimator_names import estimator_name
from posttrain.lab.worked_examples import WorkedExample


def as_record(lab: AdvantageLab, examples: list[WorkedExample]) -> dict[str, Any]:
    """Settings, language, critics, every (critic, lambda, K), the boards' means, and the worked examples.

    `horizon` null goes to the end of the response. A pair of lambda and K that is another estimator by
    definition (K = 1 is TD) has its own row with the same numbers.
    """
    task, exact, config = lab.task, lab.exact, lab.config
    return {
        "settings": config.model_dump(mode="json", exclude={"output"}),
        "language": {
            "words": list(task.words),
            "max_tokens": task.max_tokens,
            "num_states": task.num_states,
            "num_responses": len(lab.everything),
            "mean_length": exact.visits.sum().item(),
            "value_of_the_prompt": exact.values[0].item(),
            "advantages_of_the_first_token": dict(
                zip((*task.words, "end"), exact.advantages[0].tolist(), strict=True)
            ),
        },
        "critics": [
            {"name": c.name, "meaning": c.meaning, "draws": len(c.values), "rms_error": c.error(exact)}
            for c in lab.critics
        ],
        "estimators": [
            _cell(lab.cell(critic.name, gae_lambda, horizon), gae_lambda, horizon)
            for critic in lab.critics
            for horizon in (*config.horizons, None)
            for gae_lambda in config.lambdas
        ],
        "best_lambda": [
            {
                "critic": critic.name,
                "averaged_over": count,
                "gae_lambda": (best := lab.best_lambda(critic.name, count)),
                "error_left": lab.cell(critic.name, best).errors.after_averaging(count),
            }
            for critic in lab.critics
            for count in config.averaged_over
        ],
        "dartboards": [_board(board, lab) for board in lab.boards],
        "worked_examples": [
            {**dataclasses.asdict(example), "difference": example.difference, "agrees": example.agrees}
            for example in examples
        ],
    }


def _cell(cell: Cell, gae_lambda: float, horizon: int | None) -> dict[str, Any]:
    return {
        "critic": cell.critic,
        "gae_lambda": gae_lambda,
        "horizon": horizon,
        **dataclasses.asdict(cell.errors),
        "first_draw_mse": cell.first_draw_mse,
        "sampled_mse": cell.sampled_mse,
        "sampled_standard_error": cell.sampled_standard_error,
    }


def _board(board: Dartboard, lab: AdvantageLab) -> dict[str, Any]:
    return {
        "critic": board.critic,
        "estimator": estimator_name(board.estimator),
        "words": [lab.task.words[word] for word in BOARD_WORDS],
        "bias": list(board.centre),
        "spread": board.spread,
        "mean_of_the_darts": board.errors.mean(dim=0).tolist(),
        "standard_error": board.standard_errors.tolist(),
    }
