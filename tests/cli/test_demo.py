"""The demo's own path, on a tiny model; the real one is run by `./run demo`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tiny_models import save_tiny_model

from posttrain.commands.demo_files import grpo_settings, pipeline_settings
from posttrain.config.demo import DemoConfig
from posttrain.config.grpo import GRPOConfig
from posttrain.config.loading import SettingsText, load_config
from posttrain.config.pipeline import PipelineConfig
from posttrain.pipelines.stages import read_stages

ROOT = Path(__file__).parents[2]


def run_demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "posttrain", "demo", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_the_example_is_the_demo():
    demo = GRPOConfig.model_validate(grpo_settings(DemoConfig()))
    example = load_config(GRPOConfig, ROOT / "examples/sums.toml")
    assert example == demo.model_copy(update={"output": example.output})


MAY_DIFFER = {
    # The demo has to end within a quarter of an hour: its reward model takes fewer and larger steps.
    ("reward", "epochs"): (2, 3),
    ("reward", "rankings_per_step"): (10, 8),
}
"""Settings of a stage in the demo and in `examples/rlhf.toml`."""


def test_the_example_collects_feedback_as_the_demo_does():
    demo = pipeline_settings(DemoConfig())
    example = load_config(PipelineConfig, ROOT / "examples/rlhf.toml")
    assert (demo["model"], demo["seed"]) == (example.model, example.seed)

    def told_apart(stages) -> dict[tuple[str, str], object]:
        """Every stage's settings whole, defaults included."""
        config = PipelineConfig.model_validate({"output": "out", "stages": stages})
        return {
            (stage.name, name): value
            for stage in read_stages(config, SettingsText(None, ""))
            for name, value in stage.settings.items()
        }

    ours = told_apart(demo["stages"])
    theirs = told_apart({name: example.stages[name] for name in demo["stages"]})
    found = {
        key: (ours.get(key), theirs.get(key)) for key in ours | theirs if ours.get(key) != theirs.get(key)
    }
    assert found == MAY_DIFFER


@pytest.mark.slow
def test_grpo_alone_ends_with_both_scores_and_starts_over_when_complete(tmp_path):
    save_tiny_model(tmp_path / "model", seed=1)
    for _ in range(2):
        done = run_demo(
            tmp_path, "--output", "out", "--model", str(tmp_path / "model"), "--steps", "1", "--only-grpo"
        )
        assert done.returncode == 0, done.stderr
        *_, before, after, took = done.stdout.strip().splitlines()
        assert before.startswith("held-out exact match before:")
        assert after.startswith("held-out exact match after:")
        assert took.startswith("The demo took")
        assert "step 1/1" in done.stdout


@pytest.mark.slow
def test_the_whole_demo_shows_every_part_and_goes_on_where_it_was(tmp_path):
    """A model that nobody trained answers gibberish, so annotators tie often; every part runs all the same."""
    save_tiny_model(tmp_path / "model", seed=1)
    words = ("--output", "out", "--model", str(tmp_path / "model"), "--steps", "1")
    done = run_demo(tmp_path, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in ("samples", "ranked", "reward", "held-out score", "parameters held", "The note says"):
        assert shown in done.stdout, shown
    for name in ("rlhf.toml", "ppo.toml", "grpo.toml", "compare/compare.json", "compare/grpo/model"):
        assert (tmp_path / "out" / name).exists(), name
    (tmp_path / "out" / "complete").unlink()
    again = run_demo(tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert "skipped" in again.stdout
    assert "step 1/1" not in again.stdout  # nothing is trained twice


def test_the_demo_leaves_other_folders_alone(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/config.toml").write_text("title = 'mine'")
    (tmp_path / "site/post.md").write_text("words")
    done = run_demo(tmp_path, "--output", "site", "--fresh")
    assert done.returncode == 2
    assert "no run" in done.stderr
    assert (tmp_path / "site/post.md").read_text() == "words"
    assert (tmp_path / "site/config.toml").read_text() == "title = 'mine'"
