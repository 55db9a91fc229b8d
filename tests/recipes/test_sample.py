"""The sample recipe on a tiny model: what is in the file, what is refused, and `kill -9` leaves no trace."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.tiny_models import save_tiny_model

from posttrain import SampleConfig, sample
from posttrain.errors import ConfigError, DataError
from posttrain.preferences import read_samples
from posttrain.recipes.sample import RESPONSES


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    # Peaked enough for equal responses of a few tokens.
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", seed=1, initializer_range=0.6)


def config(model: Path, output: Path, **changes) -> SampleConfig:
    settings = {
        "model": str(model),
        "output": output,
        "seed": 3,
        "num_prompts": 7,
        "responses_per_prompt": 4,
        "prompts_per_chunk": 2,
        "data": {"task": "sums"},
        "sampling": {"max_new_tokens": 4},
        "compute": {"dtype": "float32", "device": "cpu"},
    }
    return SampleConfig.model_validate({**settings, **changes})


def test_one_line_a_prompt_with_its_columns(model, tmp_path):
    result = sample(config(model, tmp_path / "run"))
    assert result.is_complete
    samples = read_samples(result.responses_file)
    assert (len(samples), result.num_prompts, result.num_responses, result.num_duplicates) == (7, 7, 28, 0)
    for item in samples:
        assert item.sample_id.startswith("sums/train/")
        assert item.columns["answer"].isdigit()
        assert len(item.responses) == item.num_drawn == 4
        assert item.model == str(model)
    assert len({item.sample_id for item in samples}) == 7
    # The same seed gives the same bytes; the prompts of another seed are others.
    again = sample(config(model, tmp_path / "again"))
    assert again.responses_file.read_bytes() == result.responses_file.read_bytes()
    other = sample(config(model, tmp_path / "other", seed=4))
    assert [s.sample_id for s in read_samples(other.responses_file)] != [s.sample_id for s in samples]


def test_a_system_prompt_and_files(model, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(
        '{"prompt": "a?", "answer": "1"}\n'
        '{"prompt": [{"role": "system", "content": "own"}, {"role": "user", "content": "b?"}]}\n'
        + json.dumps({"prompt": "long " * 100})
    )
    result = sample(
        config(
            model,
            tmp_path / "run",
            num_prompts=None,
            data={"path": prompts, "system_prompt": "Be brief.", "max_prompt_tokens": 90},
        )
    )
    assert [item.prompt for item in read_samples(result.responses_file)] == [
        ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "a?"}),
        ({"role": "system", "content": "own"}, {"role": "user", "content": "b?"}),
    ]
    # The prompt that is too long does not make the run look unfinished.
    assert sample(config_of(result.run_folder)).is_complete


def config_of(folder: Path) -> SampleConfig:
    from posttrain.config.loading import load_config

    return load_config(SampleConfig, folder / "config.toml")


def test_distinct_responses_and_further_draws(model, tmp_path):
    few = {"sampling": {"max_new_tokens": 1, "top_k": 3}, "distinct": True}
    plain = sample(config(model, tmp_path / "plain", **{**few, "distinct": False}))
    once = sample(config(model, tmp_path / "once", **few))
    more = sample(config(model, tmp_path / "more", further_draws=12, **few))
    for before, kept, filled in zip(
        *(read_samples(result.responses_file) for result in (plain, once, more)), strict=True
    ):
        texts = [text.strip() for text in before.responses]
        assert [text.strip() for text in kept.responses] == list(dict.fromkeys(texts))
        assert kept.num_duplicates == 4 - len(set(texts))
        assert filled.responses[: len(kept.responses)] == kept.responses
        assert len({text.strip() for text in filled.responses}) == len(filled.responses) <= 4
        assert 4 <= filled.num_drawn <= 16
    assert once.num_duplicates > 0
    assert once.num_duplicates == sum(item.num_duplicates for item in read_samples(once.responses_file))
    assert more.num_responses > once.num_responses
    assert more.num_incomplete > 0  # three tokens give no four texts


def test_a_finished_run_is_left_alone_and_can_be_made_longer(model, tmp_path, monkeypatch):
    whole = sample(config(model, tmp_path / "whole")).responses_file.read_bytes()
    part = sample(config(model, tmp_path / "part", num_prompts=3))
    assert part.num_prompts == 3
    longer = sample(config(model, tmp_path / "part"))
    assert longer.responses_file.read_bytes() == whole
    monkeypatch.setattr("posttrain.recipes.sample.load_policy", lambda *_: pytest.fail("loaded a model"))
    assert sample(config(model, tmp_path / "part")).is_complete
    assert longer.responses_file.read_bytes() == whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 4}, "seed: 3 in the run -> 4 now"),
        ({"sampling": {"max_new_tokens": 5}}, "sampling.max_new_tokens: 4 in the run -> 5 now"),
        ({"responses_per_prompt": 5}, "responses_per_prompt: 4 in the run -> 5"),
        ({"num_prompts": 2}, "answered already"),
    ],
)
def test_changed_settings_are_refused_with_the_difference(model, tmp_path, changes, message):
    sample(config(model, tmp_path / "run", num_prompts=3))
    with pytest.raises(ConfigError, match=message):
        sample(config(model, tmp_path / "run", **{"num_prompts": 3, **changes}))


def test_changed_data_is_refused(model, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"{i}?", "answer": i} for i in range(4)]
    prompts.write_text("\n".join(map(json.dumps, rows)))
    own = {"data": {"path": prompts}, "num_prompts": None}
    sample(config(model, tmp_path / "run", **own))
    rows[2]["answer"] = 7
    prompts.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"line 3.*the data has changed"):
        sample(config(model, tmp_path / "run", **own))


def test_columns_that_the_file_uses_itself_are_refused(model, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "a?", "responses": ["b"]}\n')
    with pytest.raises(DataError, match="a column 'responses'"):
        sample(config(model, tmp_path / "run", data={"path": prompts}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"held_out_path": "a.jsonl"}}, 'part = "train"'),
        ({"data": {"path": "a.jsonl"}, "part": "held_out"}, 'part = "held_out"'),
        ({"further_draws": 2}, "Set distinct = true"),
    ],
)
def test_settings_that_cannot_work(model, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        config(model, tmp_path / "run", **changes)


@pytest.mark.slow
def test_killed_at_any_moment_the_file_is_the_same(model, tmp_path):
    words = ["--num-prompts", "40", "--responses-per-prompt", "8", "--prompts-per-chunk", "4", "--seed", "3"]
    words += ["--data.task", "sums", "--sampling.max-new-tokens", "24", "--compute.dtype", "float32"]
    words += ["--distinct", "true", "--further-draws", "2", "--model", str(model)]

    def start(output: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "posttrain", "sample", *words, "--output", str(output)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    untouched = start(tmp_path / "untouched")
    output, _ = untouched.communicate(timeout=240)
    assert untouched.returncode == 0, output
    wanted = (tmp_path / "untouched" / RESPONSES).read_bytes()
    file = tmp_path / "killed" / RESPONSES
    rng, kills = random.Random(0), 0
    for size in (1, len(wanted) // 2):
        process, deadline = start(tmp_path / "killed"), time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if file.exists() and file.stat().st_size >= size:
                time.sleep(rng.random() * 0.05)
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.001)
        process.communicate()
    assert kills >= 1
    with open(file, "ab") as torn:  # what a power cut may leave of a chunk
        torn.write(b'{"id": "sums/tr')
    last = start(tmp_path / "killed")
    output, _ = last.communicate(timeout=240)
    assert last.returncode == 0, output
    assert "going on after" in output
    assert file.read_bytes() == wanted
