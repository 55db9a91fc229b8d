from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tiny_models import save_tiny_model
from tests.tiny_reward_models import save_tiny_reward_model

from posttrain import RejectSampleConfig, reject_sample
from posttrain.config.demonstrations import DemonstrationSection
from posttrain.data.conversation_format import ConversationFormat
from posttrain.data.demonstrations import load_demonstrations
from posttrain.errors import ConfigError, DataError, RewardError
from posttrain.models.reward_model import RewardModel
from posttrain.recipes.demonstrations import columns_of
from posttrain.rewards.in_process import ScriptedReward
from posttrain.rewards.weighted_sum import WeightedSum, WeightedTerm


def score_of_text(rollout):
    """ "5 words" scores 5."""
    return float(rollout.text.split()[0]) if rollout.text[:1].isdigit() else None


@pytest.fixture
def first_number(monkeypatch):
    """The reward of these tests: no worker process is started for it."""
    judge = WeightedSum([WeightedTerm("first_number", ScriptedReward(score_of_text))])
    monkeypatch.setattr("posttrain.recipes.reject_sample.open_reward", lambda *_args, **_more: judge)


SAMPLES = [
    {
        "id": "q/1",
        "prompt": "How many?",
        "responses": ["5 a", "9 cut", "7 b", "7 b", "7 longer", "1 c", "", "none"],
        "finish_reasons": ["eos", "length", "eos", "stop", "eos", "eos", "eos", "eos"],
        "answer": "7",
    },
    {"id": "q/2", "prompt": [{"role": "user", "content": "And now?"}], "responses": ["1 x", "2 y"]},
]


@pytest.fixture
def samples(tmp_path) -> Path:
    path = tmp_path / "responses.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in SAMPLES))
    return path


def config(samples: Path, **more: object) -> RejectSampleConfig:
    values = {
        "samples": samples,
        "output": samples.parent / "kept.jsonl",
        "reward": {"max_unscored_share": 0.5},
    }
    return RejectSampleConfig.model_validate(values | {"min_score": 2.0} | more)


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_best_complete_distinct_responses_become_demonstrations(samples, first_number):
    result = reject_sample(config(samples, keep_per_prompt=2, ties="shortest"))
    kept = rows(result.output)
    assert [(row["id"], row["completion"], row["score"]) for row in kept] == [
        ("q/1#2", "7 b", 7.0),
        ("q/1#4", "7 longer", 7.0),
        ("q/2#1", "2 y", 2.0),
    ]
    assert kept[0]["prompt"] == "How many?"
    assert kept[2]["prompt"] == SAMPLES[1]["prompt"]
    counts = {
        "num_cut": 1, "num_empty": 1, "num_unscored": 1, "num_below": 2, "num_duplicates": 1, "num_surplus": 1,
        "num_kept": 3, "num_responses": 10, "num_prompts": 2, "num_prompts_without": 0,
    }  # fmt: skip
    assert {name: getattr(result, name) for name in counts} == counts
    assert result.mean_score == pytest.approx(16 / 3)


def test_sft_reads_what_was_written(samples, first_number):
    result = reject_sample(config(samples))
    found = load_demonstrations(result.output, columns_of(DemonstrationSection(path=result.output)))
    assert [item.target for item in found][1:] == ["2 y"]
    assert all(item.num_context_messages == 1 for item in found)


def test_ties_are_drawn_by_the_seed(samples, first_number):
    def chosen(seed: int) -> object:
        result = reject_sample(config(samples, seed=seed))
        return rows(result.output)[0]["completion"]

    found = {seed: chosen(seed) for seed in range(6)}
    assert set(found.values()) == {"7 b", "7 longer"}
    assert chosen(0) == found[0]


def test_a_prompt_without_a_good_response_is_counted(samples, first_number):
    result = reject_sample(config(samples, min_score=5.0))
    assert result.num_prompts_without == 1
    assert len(rows(result.output)) == 1


def test_nothing_good_enough_writes_nothing(samples, first_number):
    made = config(samples, min_score=10.0)
    with pytest.raises(DataError, match=r"none of 10 responses .*9 are complete, the best of them scores 7"):
        reject_sample(made)
    assert not made.output.exists()


def test_too_many_that_cannot_be_scored(samples, first_number):
    with pytest.raises(RewardError, match="could not be scored"):
        reject_sample(config(samples, reward={"max_unscored_share": 0.1}))


def test_a_reward_that_counts_tokens_needs_tokens(samples):
    term = {"name": "length_reward", "options": {"target": 3}}
    with pytest.raises(ConfigError, match=r"counts tokens, and a samples file holds texts only"):
        reject_sample(config(samples, reward={"terms": [term]}))
    term = {"name": "length_reward", "options": {"target": 2, "unit": "words"}}
    made = config(samples, min_score=1.0, reward={"terms": [term]})
    assert reject_sample(made).num_kept == 2


def test_a_model_answers_the_prompts_itself(tmp_path):
    model = save_tiny_model(tmp_path / "tiny", seed=1)
    made = RejectSampleConfig.model_validate(
        {
            "model": str(model), "data": {"task": "sums", "system_prompt": "Be brief."}, "num_prompts": 3,
            "responses_per_prompt": 4, "output": tmp_path / "deep/kept.jsonl", "min_score": -100.0,
            "sampling": {"max_new_tokens": 150}, "compute": {"device": "cpu", "dtype": "float32"},
        }
    )  # fmt: skip
    result = reject_sample(made)
    assert (result.num_prompts, result.num_responses) == (3, 12)
    kept = rows(result.output)
    assert kept
    for row in kept:
        assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    before = made.output.read_bytes()
    reject_sample(made)
    assert made.output.read_bytes() == before


def test_a_reward_model_is_told_how_the_model_was_asked(tmp_path, monkeypatch):
    found: list[ConversationFormat] = []
    expect_policy = RewardModel.expect_policy

    def expects(self, tokenizer, conversation, note):
        found.append(conversation)
        expect_policy(self, tokenizer, conversation, note)

    monkeypatch.setattr(RewardModel, "expect_policy", expects)
    ends = {"eos_token_id": [4, *range(40, 70)]}
    model = save_tiny_model(tmp_path / "model", seed=1, generation=ends)
    folder = save_tiny_reward_model(tmp_path / "reward", seed=2)
    reject_sample(
        RejectSampleConfig.model_validate(
            {
                "model": str(model),
                "output": tmp_path / "kept.jsonl",
                "data": {"task": "sums", "system_prompt": "Answer in one word."},
                "num_prompts": 3,
                "responses_per_prompt": 6,
                "min_score": -100.0,
                "reward": {"terms": [{"model": str(folder)}]},
                "sampling": {"max_new_tokens": 12},
                "compute": {"dtype": "float32", "device": "cpu"},
            }
        )
    )
    (told,) = found
    assert told.system_prompt == "Answer in one word.", "else the reward model would read prompts without it"
    assert all(row["prompt"][0]["role"] == "system" for row in rows(tmp_path / "kept.jsonl"))


@pytest.mark.slow
def test_a_function_of_the_user_judges(samples):
    result = reject_sample(
        config(samples, min_score=1.0), reward=lambda completions, **_: [float("b" in c) for c in completions]
    )
    assert [row["completion"] for row in rows(result.output)] == ["7 b"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "there is nothing to choose from"),
        ({"data": {"held_out_path": "a.jsonl"}}, "demonstrations are for training"),
    ],
)
def test_settings_that_cannot_work(values, reason):
    with pytest.raises(ValueError, match=reason):
        RejectSampleConfig.model_validate(values)
