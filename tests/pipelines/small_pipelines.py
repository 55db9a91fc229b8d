"""A pipeline that runs in a second or two on a tiny model, and how to change and start it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from posttrain.config.loading import load_config, read_settings
from posttrain.config.pipeline import PipelineConfig
from posttrain.pipelines import PipelineResult, PlannedStage, pipeline, plan


def stages(rows: Path) -> dict[str, dict[str, Any]]:
    """sample -> rank -> (grpo on a file of prompts) -> evaluate."""
    short = {"max_new_tokens": 4}
    length = {"name": "length_reward", "options": {"unit": "characters", "target": 9, "slack": 9}}
    return {
        "samples": {
            "recipe": "sample",
            "data": {"path": str(rows)},
            "sampling": short,
            "responses_per_prompt": 3,
        },
        "ranked": {
            "recipe": "rank",
            "samples": "@samples",
            "reward": {"terms": [length]},
        },
        "policy": {
            "recipe": "grpo",
            "steps": 2,
            "prompts_per_step": 2,
            "responses_per_prompt": 2,
            "data": {"path": "@samples", "held_out_path": str(rows)},
            "reward": {"terms": [length]},
            "sampling": short,
            "optimizer": {"learning_rate": 1e-2},
            "evaluation": {"num_prompts": 2, "samples_per_prompt": 2},
        },
        "score": {
            "recipe": "evaluate",
            "model": "@policy",
            "data": {"held_out_path": str(rows)},
            "reward": {"terms": [length]},
            "sampling": short,
            "evaluation": {"num_prompts": 2, "samples_per_prompt": 2},
        },
    }


class SmallPipeline:
    """A pipeline's file in a folder; `stages` may be changed between starts."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.rows = folder / "rows.jsonl"
        self.rows.write_text("".join(f'{{"prompt": "{name}?"}}\n' for name in "abc"))
        self.file = folder / "own.toml"
        self.output = folder / "out"
        self.model = model
        self.stages = stages(self.rows)
        self.notes: list[str] = []

    def write(self) -> Path:
        settings = {
            "output": str(self.output),
            "model": str(self.model),
            "seed": 3,
            "compute": {"dtype": "float32", "device": "cpu"},
            "stages": self.stages,
        }
        self.file.write_text(tomli_w.dumps(settings))
        return self.file

    def config(self, **changes: Any) -> PipelineConfig:
        return load_config(PipelineConfig, self.write()).model_copy(update=changes)

    def run(self, **changes: Any) -> PipelineResult:
        config = self.config(**changes)
        return pipeline(config, text=read_settings(self.file)[0], note=self.notes.append)

    def plan(self, **changes: Any) -> dict[str, PlannedStage]:
        config = self.config(**changes)
        return {stage.name: stage for stage in plan(config, text=read_settings(self.file)[0])}

    def actions(self, **changes: Any) -> dict[str, str]:
        """Runs, and says what was done with each stage."""
        return {stage.name: stage.action for stage in self.run(**changes).stages}
