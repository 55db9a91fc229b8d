"""What the README and the examples show is run, on a tiny model instead of the real one."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tiny_models import save_tiny_model

from posttrain.cli.command_table import COMMANDS
from posttrain.config.grpo import GRPOConfig
from posttrain.config.loading import load_config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
FAST = [
    "--steps",
    "1",
    "--prompts_per_step",
    "2",
    "--responses_per_prompt",
    "2",
    "--evaluation.num-prompts",
    "2",
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def run(*words: str, cwd: Path = ROOT) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    # The longest prompt of an example is a page of instructions, a token a byte here.
    save_tiny_model(folder, seed=1, max_position_embeddings=1024)
    return folder


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    for name in re.findall(r"`((?:src|docs|examples|tests)/[^`]+)`", README):
        assert (ROOT / name).exists(), name


def test_the_two_commands_are_there():
    assert "./run demo" in README
    assert "./run test" in README
    assert "./run test" in (ROOT / ".ci/run").read_text()


def command_in(line: str) -> tuple[str, list[str]]:
    """The command, which may be of two words, and its settings without the file or folder before them."""
    words = shlex.split(line)
    name = next((name for n in (2, 1) if (name := " ".join(words[:n])) in COMMANDS), None)
    assert name is not None, line
    rest = words[len(name.split()) :]
    # A folder or file that a run would have made.
    return name, rest[1:] if rest and not rest[0].startswith("--") else rest


def test_commands_of_the_readme_exist():
    lines = re.findall(r"^    \./run posttrain (.*)$", README, flags=re.MULTILINE)
    assert lines
    for name, words in map(command_in, lines):
        if words and name != "evaluate":
            load_config(COMMANDS[name].kind, None, words)


def test_a_command_of_two_words_is_found():
    assert command_in("lab advantages") == ("lab advantages", [])
    assert command_in("lab advantages own.toml --seed 3") == ("lab advantages", ["--seed", "3"])
    assert command_in("sft own.toml") == ("sft", [])
    with pytest.raises(AssertionError, match="lab advantage"):
        command_in("lab advantage")


@pytest.mark.slow
def test_the_first_run_in_toml(model, tmp_path):
    (tmp_path / "own.toml").write_text(blocks("toml")[0])
    output = run("-m", "posttrain", "grpo", "own.toml", "--model", str(model), *FAST, cwd=tmp_path)
    assert "held-out exact match after" in output
    output = run("-m", "posttrain", "evaluate", "runs/own", "--evaluation.num-prompts", "2", cwd=tmp_path)
    assert "pass@1" in output


@pytest.mark.slow
def test_the_first_run_in_python(model, tmp_path):
    text = blocks("python")[0]
    assert "steps=20" in text
    smaller = text.replace(
        "steps=20", f'steps=1, model="{model}", prompts_per_step=2, responses_per_prompt=2'
    )
    (tmp_path / "own.py").write_text(smaller)
    assert run("own.py", cwd=tmp_path).strip().endswith("runs/own-reward/model")


EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))


def command_of(path: Path) -> str:
    """An example is called as its command, or is one of grpo."""
    name = {"rlhf": "pipeline", "people_rank": "pipeline"}.get(path.stem, path.stem.replace("_", "-"))
    return name if name in COMMANDS else "grpo"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_example_configurations_are_valid(path):
    load_config(COMMANDS[command_of(path)].kind, path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if command_of(path) == "grpo"], ids=lambda p: p.name
)
def test_example_configurations_run(path, model, tmp_path):
    words = [
        "-m",
        "posttrain",
        "grpo",
        str(path),
        "--model",
        str(model),
        "--output",
        str(tmp_path / "run"),
        *FAST,
    ]
    assert "held-out exact match after" in run(*words)


@pytest.mark.slow
def test_example_script_runs(model, tmp_path):
    text = (ROOT / "examples/short_answers.py").read_text()
    assert "steps=10" in text
    smaller = text.replace("steps=10", f'steps=1, model="{model}"').replace(
        '"runs/short-answers"', f'"{tmp_path / "run"}"'
    )
    (tmp_path / "own.py").write_text(smaller)
    assert str(tmp_path / "run") in run(str(tmp_path / "own.py"))


def test_what_the_page_on_data_and_rewards_shows_is_valid(tmp_path):
    from posttrain.data.prompts import load_prompts
    from posttrain.data.tasks import TASKS, make_task
    from posttrain.rewards.build import REWARD_NAMES

    page = (ROOT / "docs/data-and-rewards.md").read_text()
    (tmp_path / "own.jsonl").write_text(re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)[0])
    assert [prompt.columns["answer"] for prompt in load_prompts(tmp_path / "own.jsonl")] == ["42", "42"]
    (tmp_path / "own.toml").write_text(
        "[data]\ntask = 'sums'\n" + re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)[0]
    )
    assert len(load_config(GRPOConfig, tmp_path / "own.toml").reward.terms) == 2
    for name in (*TASKS, *REWARD_NAMES):
        assert f"`{name}" in page, f"{name} is not on the page"
    for name, options in re.findall(
        r"^\| (`sums`, `products`|`countdown`|`sorting`) \| (.*?) \|", page, flags=re.MULTILINE
    ):
        for task in re.findall(r"`(\w+)`", name):
            known = make_task(task).parameters  # type: ignore[attr-defined]
            assert set(re.findall(r"`(\w+)`", options)) == set(known)


def test_presets_and_files_of_a_run_are_on_the_page():
    from posttrain.config.algorithm import PRESETS
    from posttrain.recipes.session import MAY_CHANGE_ON_RESUME
    from posttrain.runs.run_folder import RunFolder

    page = (ROOT / "docs/grpo.md").read_text()
    for preset in PRESETS:
        assert f"| `{preset}` |" in page
    for path in vars(RunFolder("run")).values():
        if isinstance(path, Path) and not path.name.startswith(".") and path.name != "run":
            assert path.name in page, path.name
    for setting in MAY_CHANGE_ON_RESUME:
        assert setting.startswith("reward.") or setting == "output" or f"`{setting}`" in page, setting
