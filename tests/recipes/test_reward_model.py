"""Reward models end to end: a known rule is learned, a known utility recovered, and bad input is told apart."""

from __future__ import annotations

import json
import math
import random
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tests.tiny_models import save_tiny_model
from transformers import AutoModelForSequenceClassification

from posttrain import RewardModelConfig, reward_model
from posttrain.batches import TokenBatch
from posttrain.commands.reward_model import print_result
from posttrain.errors import ConfigError, DataError
from posttrain.evaluation.preference_quality import correlation
from posttrain.models.reward_model import RewardModel, RewardModelDescription
from posttrain.recipes.comparisons import ALL_TIED, EQUAL_AFTER_CUTTING, HOLDS_ITS_END, TOO_LONG
from posttrain.types import Prompt, Rollout

WORDS = ("apple", "river", "stone", "cloud", "green", "happy", "table", "music", "winter", "paper")
Rule = Any


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", seed=1)


def made_rankings(
    rule: Rule, *, count: int = 200, sizes: tuple[int, ...] = (2, 3, 4), seed: int = 0
) -> list[dict]:
    """Rankings by `rule(text, random) -> value`, larger is better, equal is a tie."""
    rng, rows = random.Random(seed), []
    for index in range(count):
        texts, values, size = list[str](), list[float](), rng.choice(sizes)
        while len(set(values)) < 2:  # not all tied
            texts = []
            while len(texts) < size:
                text = " ".join(rng.choices(WORDS, k=rng.randint(1, 7)))
                texts += [] if text in texts else [text]
            values = [rule(text, rng) for text in texts]
        order = sorted(set(values), reverse=True)
        rows.append(
            {
                "id": f"q/{index}",
                "prompt": f"Say {index} things.",
                "responses": texts,
                "ranks": [order.index(value) for value in values],
                "annotator": ("anna", "ben")[index % 2],
            }
        )
    return rows


def by_length(text: str, rng: random.Random) -> float:
    return len(text.split())


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(model: Path, path: Path, output: Path, **more: Any) -> RewardModelConfig:
    values: dict[str, Any] = {
        "model": str(model),
        "output": output,
        "epochs": 3,
        "rankings_per_step": 16,
        "data": {"path": path, "held_out_share": 0.2},
        "optimizer": {"learning_rate": 3e-3},
        "compute": {"device": "cpu", "dtype": "float32"},
    }
    data_section = values["data"] | more.pop("data", {})
    return RewardModelConfig.model_validate(values | more | {"data": data_section})


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"preference": {"kind": "pairs", "ties": "learn", "center_coef": 0.01}},
        {"preference": {"kind": "plackett_luce"}},
        {"lora": {"r": 8}, "optimizer": {"learning_rate": 1e-2}},
    ],
    ids=["pairs", "plackett_luce", "lora"],
)
def test_a_rule_is_learned(model, tmp_path, more):
    """Longer is better: beyond 90 % of held-out pairs, calibrated on its reference answers, and open to others."""
    data = write(tmp_path / "data.jsonl", made_rankings(by_length, count=240))
    result = reward_model(config(model, data, tmp_path / "run", **more))
    before, after = result.before, result.after
    assert before is not None
    assert after is not None
    assert after["accuracy"] > 0.9 > before["accuracy"]
    assert after["loss"] < before["loss"]
    assert after["length_spearman"] > 0.8
    assert set(after["accuracy_by_annotator"]) == {"anna", "ben"}
    assert (tmp_path / "run" / "reward_model.png").read_bytes().startswith(b"\x89PNG")
    assert result.model_folder is not None
    plain = AutoModelForSequenceClassification.from_pretrained(result.model_folder)
    assert plain.config.num_labels == 1
    check_calibration(result.model_folder, data)


def check_calibration(folder: Path, data: Path) -> None:
    """Mean 0 and deviation 1 on the best-ranked training responses."""
    from posttrain.data.comparisons import load_rankings, split_by_prompt
    from posttrain.data.reference_answers import best_ranked

    opened = RewardModel.open(folder, dtype=torch.float32, device="cpu")
    calibration = opened.description.calibration
    assert calibration is not None
    train, _ = split_by_prompt(load_rankings(data).rankings, 0.2)
    answers = best_ranked(train)
    assert calibration.num_answers == len(answers)
    rollouts = [Rollout(prompt, 0, (), (), "eos", text, 0) for prompt, text in answers]
    scores = torch.tensor(opened.score_rollouts(rollouts), dtype=torch.float64)
    assert float(scores.mean()) == pytest.approx(0.0, abs=1e-3)
    assert float(scores.std()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_a_known_utility_is_recovered(model, tmp_path):
    """Comparisons drawn from Bradley-Terry with a known utility per word: scores follow it, near the best loss."""
    utility = {word: 1.5 * (index - 4.5) / 4.5 for index, word in enumerate(WORDS)}

    def noisy(text: str, rng: random.Random) -> float:
        # The larger of two values with Gumbel noise follows Bradley-Terry exactly.
        return utility[text] - math.log(-math.log(rng.random()))

    rng, rows = random.Random(5), []
    for _ in range(1200):
        texts = rng.sample(WORDS, 2)
        values = [noisy(text, rng) for text in texts]
        chosen, rejected = texts if values[0] > values[1] else texts[::-1]
        rows.append({"prompt": "Word?", "chosen": chosen, "rejected": rejected})
    data = write(tmp_path / "pairs.jsonl", rows)
    result = reward_model(
        config(
            model, data, tmp_path / "run", epochs=2, rankings_per_step=20, optimizer={"learning_rate": 3e-3}
        )
    )
    assert result.model_folder is not None
    opened = RewardModel.open(result.model_folder, dtype=torch.float32, device="cpu", normalize=False)
    rollouts = [Rollout(Prompt("q", "Word?"), 0, (), (), "eos", word, 0) for word in WORDS]
    scores = opened.score_rollouts(rollouts)
    found = correlation(scores, list(utility.values()))
    assert found is not None
    assert found > 0.95
    # In size too, not in order alone.
    spread = (max(scores) - min(scores)) / 3.0
    assert 0.6 < spread < 1.6


def test_a_batch_has_the_rankings_that_are_asked_for(model, tmp_path):
    from posttrain.models.tokenizer_loading import load_tokenizer
    from posttrain.recipes.comparisons import open_comparisons

    data = write(tmp_path / "data.jsonl", made_rankings(by_length, count=40))
    settings = config(model, data, tmp_path / "run")
    found = open_comparisons(settings, load_tokenizer(model))
    batch = found.batch([7, 2])
    rollouts = [rollout for number in (7, 2) for rollout in found.train[number].rollouts]
    for row, rollout in enumerate(rollouts):
        ids = (*rollout.prompt.token_ids, *rollout.response_ids)
        assert tuple(batch.tokens.token_ids[row, : len(ids)].tolist()) == ids
    assert len(batch) == 2
    assert batch.tokens.response_lengths.min() >= 2


def test_what_teaches_nothing_is_told(model, tmp_path):
    from posttrain.models.tokenizer_loading import load_tokenizer
    from posttrain.recipes.comparisons import open_comparisons

    rows = [
        {"prompt": "a", "responses": ["x", "y"], "ranks": [0, 0]},
        {"prompt": "b", "chosen": "word " * 80 + "one", "rejected": "word " * 80 + "two"},
        {"prompt": "c", "chosen": "same", "rejected": "same"},
        {"prompt": "d", "chosen": "good<|im_end|> more", "rejected": "bad"},
        *made_rankings(by_length, count=12),
    ]
    data = write(tmp_path / "data.jsonl", rows)
    tokenizer = load_tokenizer(model)

    def remarks(**section: Any) -> list[str]:
        own = config(
            model, data, tmp_path / "run", data={"max_length": 120, "held_out_share": 0.0, **section}
        )
        return list(open_comparisons(own, tokenizer).remarks)

    dropped = remarks()
    assert any(f"1 dropped: {ALL_TIED} (the first is data/1)" in line for line in dropped)
    assert any(f"1 dropped: {TOO_LONG} (the first is data/2)" in line for line in dropped)
    assert any("all responses have the same text (the first is data/3)" in line for line in dropped)
    assert any(f"1 dropped: {HOLDS_ITS_END} (the first is data/4)" in line for line in dropped)
    assert any(f"1 dropped: {EQUAL_AFTER_CUTTING}" in line for line in remarks(too_long="cut"))


def test_cut_responses_have_no_end_and_are_counted(model, tmp_path):
    from tests.tiny_models import IM_END

    from posttrain.models.tokenizer_loading import load_tokenizer
    from posttrain.recipes.comparisons import open_comparisons

    data = write(tmp_path / "d.jsonl", [{"prompt": "a", "chosen": "xy" * 90, "rejected": "z"}])
    own = config(
        model, data, tmp_path / "run", data={"max_length": 100, "held_out_share": 0.0, "too_long": "cut"}
    )
    found = open_comparisons(own, load_tokenizer(model))
    assert found.longest == 100
    long, short = found.train[0].rollouts
    assert (long.finish_reason, short.finish_reason) == ("length", "eos")
    assert long.response_ids[-1] != IM_END
    assert short.response_ids[-1] == IM_END
    assert any("tokens: 1 response" in line for line in found.remarks)


def test_weights_of_annotators(model, tmp_path):
    from posttrain.models.tokenizer_loading import load_tokenizer
    from posttrain.recipes.comparisons import open_comparisons

    data = write(tmp_path / "data.jsonl", made_rankings(by_length, count=20))
    tokenizer = load_tokenizer(model)

    def weights(**given: float) -> set[tuple[str, float]]:
        own = config(model, data, tmp_path / "run", data={"annotator_weights": given, "held_out_share": 0.0})
        return {
            (item.ranking.annotator, item.ranking.weight) for item in open_comparisons(own, tokenizer).train
        }

    assert weights(anna=2.5) == {("anna", 2.5), ("ben", 1.0)}
    assert weights(anna=0.0) == {("ben", 1.0)}
    with pytest.raises(ConfigError, match="'ana', who ranked nothing; did you mean 'anna'"):
        weights(ana=1.0)


def test_held_out_prompts_that_are_trained_on_are_told(model, tmp_path):
    from posttrain.models.tokenizer_loading import load_tokenizer
    from posttrain.recipes.comparisons import open_comparisons

    rows = made_rankings(by_length, count=8)
    data, held_out = write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", rows[:3])
    own = config(model, data, tmp_path / "run", data={"held_out_path": held_out})
    found = open_comparisons(own, load_tokenizer(model))
    assert (len(found.train), len(found.held_out)) == (8, 3)
    assert any(line.startswith("also trained on: 3 held-out prompts") for line in found.remarks)


@pytest.mark.parametrize(
    ("rows", "more", "error", "reason"),
    [
        ([{"prompt": "a", "chosen": "b", "rejected": "b"}], {}, DataError, "no comparison left.*same text"),
        ([{"prompt": "a", "responses": ["b"], "ranks": [0]}], {}, DataError, "nothing to compare"),
        ([{"prompt": "a", "chosen": "b"}], {}, DataError, "data.jsonl, line 1: no column 'rejected'"),
        (
            [{"prompt": "a", "responses": list("bcdefghijklmnop"), "ranks": [0] * 14 + [1]}],
            {"preference": {"kind": "plackett_luce"}},
            ConfigError,
            "14 responses are tied",
        ),
        (
            [{"prompt": "a", "chosen": "b " * 300, "rejected": "c"}],
            {"data": {"max_length": 900, "held_out_share": 0.0}},
            ConfigError,
            r"was made for 256\. Set data.max_length = 256",
        ),
    ],
)
def test_wrong_input(model, tmp_path, rows, more, error, reason):
    data = write(tmp_path / "data.jsonl", rows)
    more = {"data": {"held_out_share": 0.0}} | more
    with pytest.raises(error, match=f"(?s){reason}"):
        reward_model(config(model, data, tmp_path / "run", **more))


def test_the_screen_shows_a_few_of_the_numbers_and_a_term_that_can_be_pasted(model, tmp_path, capsys):
    data = write(tmp_path / "data.jsonl", made_rankings(by_length, count=24))
    result = reward_model(config(model, data, tmp_path / "run", steps=1))
    line = next(line for line in capsys.readouterr().out.splitlines() if "held-out after step 1" in line)
    shown = r": accuracy [\d.]+ \([\d.]+ to [\d.]+\), loss [\d.]+, calibration error [\d.]+$"
    assert re.search(shown, line)
    logged = json.loads((tmp_path / "run/evaluations.jsonl").read_text().splitlines()[-1])
    assert "length_spearman" in logged

    print_result(result, Console())
    printed = capsys.readouterr().out
    pasted = next(line for line in printed.splitlines() if line.startswith("use it:"))
    term = tomllib.loads(pasted.removeprefix("use it:").strip())["reward"]["terms"][0]
    assert term == {"model": str(result.model_folder)}


def test_too_few_reference_answers_are_said_before_training(model, tmp_path):
    one = write(tmp_path / "one.jsonl", made_rankings(by_length, count=1))
    many = write(tmp_path / "many.jsonl", made_rankings(by_length, count=8))
    settings = {
        "training": config(model, one, tmp_path / "training", data={"path": one, "held_out_share": 0.0}),
        "file": config(model, many, tmp_path / "file", calibration={"path": one}),
    }
    for name, made in settings.items():
        with pytest.raises(DataError, match=r"^1 of the 1 .* need 2 at least.*calibration\.path"):
            reward_model(made)
        assert (
            not (tmp_path / name / "metrics.jsonl").exists()
            or not (tmp_path / name / "metrics.jsonl").read_text()
        )


@pytest.mark.parametrize("changed", ["train", "held_out", "answers"])
def test_other_data_before_the_first_checkpoint_are_another_run_too(model, tmp_path, monkeypatch, changed):
    files = {
        name: write(tmp_path / f"{name}.jsonl", made_rankings(by_length, count=6, seed=seed))
        for seed, name in enumerate(("train", "held_out", "answers"))
    }
    made = config(
        model,
        files["train"],
        tmp_path / "run",
        steps=1,
        data={"path": files["train"], "held_out_path": files["held_out"]},
        calibration={"path": files["answers"]},
    )

    def interrupted(*_args, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("posttrain.training.learner.Learner.update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reward_model(made)
    write(files[changed], made_rankings(by_length, count=6, seed=9))
    with pytest.raises(ConfigError, match="comparisons of this run have changed"):
        reward_model(made)


def test_wrong_settings(model, tmp_path):
    for wrong in ({"kind": "plackett_luce", "margin": 1.0}, {"label_smoothing": 0.5}, {"ties": "keep"}):
        with pytest.raises(ValueError, match="preference"):
            config(model, tmp_path / "d.jsonl", tmp_path / "run", preference=wrong)


@pytest.mark.slow
def test_other_data_is_another_run_and_a_reward_model_can_be_gone_on_with(model, tmp_path):
    """A run whose data changed is refused; a finished model is a start like any other."""
    data = write(tmp_path / "data.jsonl", made_rankings(by_length, count=24))
    settings: dict[str, Any] = {
        "epochs": 1,
        "optimizer": {"learning_rate": 1e-3, "schedule": "constant", "warmup_share": 0.0},
    }
    first = reward_model(config(model, data, tmp_path / "run", **settings))
    assert first.model_folder is not None
    write(data, made_rankings(by_length, count=24, seed=9))
    with pytest.raises(ConfigError, match="comparisons of this run have changed"):
        reward_model(config(model, data, tmp_path / "run", **settings | {"epochs": 2}))
    onwards = reward_model(config(first.model_folder, data, tmp_path / "second", **settings))
    assert onwards.before is not None
    assert onwards.before["score_std"] == pytest.approx(
        scores_std(first.model_folder, tmp_path / "second", data), rel=1e-3
    )


def scores_std(folder: Path, run: Path, data: Path) -> float:
    """Of the held-out responses under the model in this folder."""
    from posttrain.models.reward_model import raw_scores
    from posttrain.models.scalar_model import load_scalar_model
    from posttrain.recipes.comparisons import open_comparisons

    model = load_scalar_model(folder, dtype=torch.float32, device="cpu")
    found = open_comparisons(config(folder, data, run), model.tokenizer)
    scores = raw_scores(
        model, TokenBatch.from_rollouts([r for item in found.held_out for r in item.rollouts])
    )
    assert RewardModelDescription.read(str(folder)).calibration is not None
    return float(torch.tensor(scores, dtype=torch.float64).std())
