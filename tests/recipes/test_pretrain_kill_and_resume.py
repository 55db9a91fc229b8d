"""`kill -9` at any moment, also while tokenising, and the finished run is the same to the bit."""

from __future__ import annotations

import json
import random
import time

import pytest
from tests.recipes.killed_runs import finish, hashes, kill_when, rows, saving, start

pytestmark = pytest.mark.slow

CONFIG = """
output = "{output}"
seed = 3
steps = 12
rows_per_step = 4
sequence_length = 16
[data]
path = "{text}"
[new_model]
layers = 2
width = 32
heads = 4
[tokenizer]
kind = "bpe"
vocab_size = 300
[optimizer]
learning_rate = 1e-2
[compute]
dtype = "float32"
device = "cpu"
[evaluation]
every_steps = 4
[checkpoint]
every_steps = {every_steps}
"""
COMPARED = ("metrics.jsonl", "evaluations.jsonl", "model/model.safetensors", "tokens/train.ids")
STEPS = 12


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Two dozen short documents: a step's rows hold several, and the run goes over them more than once."""
    path = tmp_path_factory.mktemp("text") / "pages.jsonl"
    words = random.Random(0).choices(["the", "cat", "sat", "on", "a", "mat", "and", "ran"], k=600)
    pages = [{"text": " ".join(words[i * 25 : i * 25 + 5 + i])} for i in range(24)]
    path.write_text("".join(json.dumps(page) + "\n" for page in pages))
    return path


def started(folder, text, every_steps=1):
    return start("pretrain", folder, CONFIG.format(output=folder / "run", text=text, every_steps=every_steps))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("untouched")
    finish(started(folder, text))
    return hashes(folder, COMPARED)


def test_killed_at_random_moments_and_while_saving(untouched, tmp_path, text):
    rng = random.Random(0)
    kills = 0
    for condition in (
        lambda: rows(tmp_path) >= 1,
        lambda: saving(tmp_path) and rows(tmp_path) >= 4,
        lambda: rows(tmp_path) >= 7 and time.sleep(rng.random() * 0.05) is None,
    ):
        kills += kill_when(started(tmp_path, text, every_steps=3), condition)
    assert kills >= 2
    finish(started(tmp_path, text, every_steps=3))
    assert hashes(tmp_path, COMPARED) == untouched
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, STEPS + 1))


def test_killed_while_tokenising(untouched, tmp_path, text):
    aside = tmp_path / "run/.saving_tokens"
    assert kill_when(started(tmp_path, text), aside.exists)
    assert not (tmp_path / "run/tokens").exists()
    finish(started(tmp_path, text))
    assert not aside.exists()
    assert hashes(tmp_path, COMPARED) == untouched
