"""What the demo runs, as settings: the same that users write, and written out as files for them to change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from posttrain.config.demo import DemoConfig

Settings = Mapping[str, Any]

_DATA = {"task": "sums", "task_options": {"digits": 1, "twins_together": False}}
_RIGHT = {"name": "exact_answer", "options": {"mode": "last_number"}}
_SAMPLING = {"max_new_tokens": 16}
_EVALUATION = {"every_steps": 5, "num_prompts": 64, "samples_per_prompt": 8}

SUMS: Settings = {
    "prompts_per_step": 16,
    "responses_per_prompt": 8,
    "data": _DATA,
    "sampling": _SAMPLING,
    # Token mean and no KL: the settings that the expected curve was measured with.
    "algorithm": {"preset": "grpo", "aggregation": "token", "kl_coef": 0.0},
    "optimizer": {"learning_rate": 1e-5},
    "evaluation": _EVALUATION,
    "checkpoint": {"every_steps": 10, "keep": 1},
}
"""GRPO on 1-digit sums; `examples/sums.toml` holds the same for a first own run (a test compares them)."""

FEEDBACK: Settings = {
    "samples": {
        "recipe": "sample",
        "data": _DATA,
        "responses_per_prompt": 8,
        "distinct": True,
        "further_draws": 8,
        # Longer than in training: people do not rank answers that were cut.
        "sampling": {"max_new_tokens": 48},
    },
    "ranked": {
        "recipe": "rank",
        "samples": "@samples",
        # Two people with one taste, a right number in few words, who err at rates of their own.
        "reward": {
            "terms": [
                _RIGHT,
                {
                    "name": "length_reward",
                    "options": {"maximum": 1, "slack": 10, "unit": "words"},
                    "weight": 0.5,
                },
            ]
        },
        "annotators": [{"name": "careful", "noise_rate": 0.05}, {"name": "hasty", "noise_rate": 0.2}],
    },
    "reward": {
        "recipe": "reward_model",
        "data": {"path": "@ranked", "held_out_share": 0.2},
        "epochs": 2,
        "rankings_per_step": 10,
        "optimizer": {"learning_rate": 3e-5},
    },
}
"""Step 1 to 3 of the note: several responses a prompt, people who rank them, a reward model of their taste."""


def pipeline_settings(demo: DemoConfig) -> Settings:
    """The settings of `posttrain pipeline` for sampling, ranking and the reward model."""
    return {"output": str(demo.output / "rlhf"), "model": demo.model, "seed": demo.seed, "stages": FEEDBACK}


def grpo_settings(demo: DemoConfig) -> Settings:
    """GRPO with the verifier alone."""
    return {**_of(demo, default_steps=20), "output": str(demo.output / "grpo"), **SUMS}


def compared_settings(demo: DemoConfig, reward_model: Path) -> dict[str, Settings]:
    """PPO and GRPO, from one start, on one reward: what is right, and what the reward model likes.

    Held-out responses are judged by what is right alone. The reward model counts little: it knows 75 questions, and
    alone it would be exploited.
    """
    # Small enough to leave the learning as it is: it is there to be measured, by one estimator in both.
    kl = {"kl": "k3", "kl_in": "loss", "kl_coef": 0.001}
    shared: Settings = {
        **_of(demo, default_steps=15),
        **SUMS,
        "reward": {"terms": [_RIGHT, {"model": str(reward_model), "weight": 0.1}]},
        "evaluation": {**_EVALUATION, "reward": {"terms": [_RIGHT]}},
        # The same for both: left to "auto" it would be what is free, and peak memory would say nothing.
        "compute": {"microbatch_tokens": 2048},
    }
    return {
        "ppo": {
            **shared,
            # A response is a few tokens long: nothing is gained by trusting the critic before its end.
            "algorithm": {"preset": "instructgpt", "gae_lambda": 1.0, **kl},
            "critic": {
                "start": "policy",
                "optimizer": {"learning_rate": 3e-5},
                # A new last layer starts from 0, and would hardly leave it at the trunk's rate.
                "head_learning_rate": 3e-4,
            },
        },
        "grpo": {**shared, "algorithm": {**SUMS["algorithm"], **kl}},
    }


def _of(demo: DemoConfig, *, default_steps: int) -> Settings:
    return {"model": demo.model, "seed": demo.seed, "steps": demo.steps or default_steps}
