"""The demo's own path, on a tiny model; the real one is run by `./run demo`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.tiny_models import save_tiny_model

from posttrain.commands.demo import demo_config
from posttrain.config.demo import DemoConfig
from posttrain.config.grpo import GRPOConfig
from posttrain.config.loading import load_config

ROOT = Path(__file__).parents[2]


def test_the_example_is_the_demo():
    demo = demo_config(DemoConfig())
    example = load_config(GRPOConfig, ROOT / "examples/sums.toml")
    assert example == demo.model_copy(update={"output": example.output})


@pytest.mark.slow
def test_the_demo_ends_with_both_scores_and_starts_over_when_complete(tmp_path):
    save_tiny_model(tmp_path / "model", seed=1)
    words = ["demo", "--output", "out", "--model", str(tmp_path / "model"), "--steps", "1"]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "posttrain", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        *_, before, after, took = done.stdout.strip().splitlines()
        assert before.startswith("held-out exact match before:")
        assert after.startswith("held-out exact match after:")
        assert took.startswith("The demo took")
        assert "step 1/1" in done.stdout


def test_the_demo_leaves_other_folders_alone(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/config.toml").write_text("title = 'mine'")
    (tmp_path / "site/post.md").write_text("words")
    done = subprocess.run(
        [sys.executable, "-m", "posttrain", "demo", "--output", "site", "--fresh"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no run" in done.stderr
    assert (tmp_path / "site/post.md").read_text() == "words"
    assert (tmp_path / "site/config.toml").read_text() == "title = 'mine'"
