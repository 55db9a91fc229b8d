"""From samples through a store to a reward model: what people said there is what is learned, and stays what it was."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_models import save_tiny_model

from posttrain import PreferenceStore, RewardModelConfig, SampleConfig, reward_model, sample
from posttrain.cli import main
from posttrain.errors import ConfigError, DataError
from posttrain.models.tokenizer_loading import load_tokenizer
from posttrain.preferences import read_samples
from posttrain.preferences.importing.import_file import ImportSettings
from posttrain.recipes.comparisons import Comparisons, open_comparisons

WORDS = ("apple", "river", "stone", "cloud", "green", "happy", "table", "music")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", seed=1, initializer_range=0.6)


def row(number: int, annotator: str, **more: Any) -> dict[str, Any]:
    """Longer is better: what these people agree about."""
    rng = random.Random(number)
    texts = [" ".join(rng.choices(WORDS, k=length)) for length in (1, 3, 6)]
    rng.shuffle(texts)
    order = sorted(texts, key=len, reverse=True)
    return {
        "item": f"q/{number}",
        "prompt": f"Say {number} things.",
        "responses": texts,
        "ranks": [order.index(text) for text in texts],
        "annotator": annotator,
    } | more


def filled(folder: Path, rows: list[dict[str, Any]], name: str = "store.db") -> Path:
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(own) + "\n" for own in rows))
    with PreferenceStore.create(folder / name) as store:
        store.import_files(file)
    return folder / name


def config(model: Path, path: Path, output: Path, **data: Any) -> RewardModelConfig:
    return RewardModelConfig.model_validate(
        {
            "model": str(model),
            "output": output,
            "steps": 2,
            "rankings_per_step": 8,
            "data": {"path": path, "held_out_share": 0.3, **data},
            "optimizer": {"learning_rate": 1e-3},
            "compute": {"device": "cpu", "dtype": "float32"},
        }
    )


def opened(config: RewardModelConfig) -> Comparisons:
    return open_comparisons(config, load_tokenizer(config.model))


@pytest.mark.slow
def test_rankings_of_a_store_train_a_reward_model_through_one_command(model, tmp_path, capsys):
    store = filled(tmp_path, [row(number, "anna") for number in range(60)])
    main(
        ["reward-model", "--data.path", str(store), "--model", str(model), "--output", str(tmp_path / "run"),
         "--epochs", "4", "--rankings-per-step", "8", "--data.held-out-share", "0.25",
         "--optimizer.learning-rate", "3e-3", "--compute.device", "cpu", "--compute.dtype", "float32"]
    )  # fmt: skip
    assert "held-out accuracy" in capsys.readouterr().out
    evaluations = [json.loads(line) for line in (tmp_path / "run/evaluations.jsonl").read_text().splitlines()]
    before, after = evaluations[0], evaluations[-1]
    assert after["accuracy"] > max(0.8, before["accuracy"])


def test_what_counts_and_what_is_left_out(model, tmp_path):
    rows = [row(number, "anna") for number in range(6)] + [
        row(0, "bo"),
        row(1, "bo", kind="skip", ranks=None),
        row(2, "bo", kind="cannot_rank", ranks=None),
        row(3, "bo", settles=True, ranks=[0, 1, 2]),
        row(7, "anna", finish_reasons=["eos", "length", "eos"], unacceptable=[True, False, False]),
    ]
    found = opened(config(model, filled(tmp_path, rows), tmp_path / "run", held_out_share=0.0))
    by_id = {item.ranking.ranking_id: item.ranking for item in found.train}
    assert set(by_id) == {
        "q/0/anna",
        "q/0/bo",
        "q/1/anna",
        "q/2/anna",
        "q/3/bo",
        "q/4/anna",
        "q/5/anna",
        "q/7/anna",
    }
    assert (by_id["q/0/anna"].weight, by_id["q/0/bo"].weight, by_id["q/1/anna"].weight) == (0.5, 0.5, 1.0)
    assert by_id["q/3/bo"].ranks == (0, 1, 2)
    assert len(by_id["q/7/anna"].responses) == 2
    told = "\n".join(found.remarks)
    for words in (
        "skipped",
        "cannot be ranked",
        "settled",
        "cut by length",
        "marked unacceptable: 1 response",
    ):
        assert words in told


def test_weights_of_people_and_of_prompts(model, tmp_path):
    store = filled(tmp_path, [row(0, name) for name in ("anna", "bo")] + [row(1, "anna")])

    def weights(**data: Any) -> list[float]:
        found = opened(config(model, store, tmp_path / "w", held_out_share=0.0, **data))
        return sorted(round(item.ranking.weight, 6) for item in found.train)

    assert weights() == [0.5, 0.5, 1.0]
    assert weights(prompt_weights="by_rankings") == [1.0, 1.0, 1.0]
    assert weights(annotator_weights={"bo": 3.0}) == [0.25, 0.75, 1.0]
    with PreferenceStore.open(store) as own:
        own.export(tmp_path / "exported.jsonl")
    found = opened(config(model, tmp_path / "exported.jsonl", tmp_path / "x", held_out_share=0.0))
    assert sorted(item.ranking.weight for item in found.train) == [0.5, 0.5, 1.0], (
        "an export counts as its store does"
    )


def test_a_store_may_be_the_held_out_side(model, tmp_path):
    train = filled(tmp_path, [row(number, "anna") for number in range(4)])
    held = filled(tmp_path, [row(number, "bo") for number in range(3, 6)], "held.db")
    found = opened(config(model, train, tmp_path / "run", held_out_path=held))
    assert (len(found.train), len(found.held_out)) == (4, 3)
    assert any("also trained on" in remark for remark in found.remarks)


@pytest.mark.slow
def test_a_run_goes_on_with_what_people_had_said_when_it_began(model, tmp_path, monkeypatch):
    store = filled(tmp_path, [row(number, "anna") for number in range(8)])
    own = config(model, store, tmp_path / "run")
    with monkeypatch.context() as patched:
        patched.setattr("posttrain.recipes.reward_model.train_supervised", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reward_model(own)
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps(row(99, "bo")) + "\n")
    with PreferenceStore.open(store) as opened_store:
        opened_store.import_files(more, settings=ImportSettings())
    assert reward_model(own).model_folder is not None, "resumed, with what it began with"
    kept = (tmp_path / "run/rankings.jsonl").read_text()
    assert "q/7" in kept
    assert "q/99" not in kept
    fresh = config(model, store, tmp_path / "fresh")
    assert any(
        item.ranking.annotator == "bo"
        for part in (opened(fresh).train, opened(fresh).held_out)
        for item in part
    )


def interrupted(*_args: Any, **_more: Any) -> None:
    raise KeyboardInterrupt


def test_a_store_without_judgements_says_how_to_rank_and_is_read_anew_later(model, tmp_path):
    with PreferenceStore.create(tmp_path / "store.db") as store:
        store.add("p", ["a", "b"])
    own = config(model, tmp_path / "store.db", tmp_path / "run")
    with pytest.raises(DataError, match=r"nobody has judged.*posttrain rank"):
        opened(own)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row(number, "anna")) + "\n" for number in range(4)))
    with PreferenceStore.open(tmp_path / "store.db") as store:
        store.import_files(rows)
    assert opened(own).train


def test_a_password_is_not_kept_in_a_run(model, tmp_path):
    with pytest.raises(ValueError, match="PGPASSWORD"):
        config(model, "postgresql://anna:secret@localhost/db", tmp_path / "run")  # type: ignore[arg-type]
    kept = config(model, "postgresql://anna@localhost/db", tmp_path / "run")  # type: ignore[arg-type]
    assert kept.data.path == "postgresql://anna@localhost/db"


def sampling(model: Path, output: Path, **changes: Any) -> SampleConfig:
    settings = {
        "model": str(model), "output": output, "seed": 3, "num_prompts": 6, "responses_per_prompt": 4,
        "prompts_per_chunk": 2, "data": {"task": "sums"}, "sampling": {"max_new_tokens": 4},
        "compute": {"dtype": "float32", "device": "cpu"},
    }  # fmt: skip
    return SampleConfig.model_validate({**settings, **changes})


def in_store(path: Path) -> list[str]:
    from posttrain.preferences.store.database import open_store
    from posttrain.preferences.store.items import iterate_items

    with open_store(path) as store:
        return [item.external_id for item in iterate_items(store)]


def test_samples_stand_in_the_store_also_when_it_is_named_later_or_was_stopped(model, tmp_path, monkeypatch):
    where = tmp_path / "store.db"
    own = sampling(model, tmp_path / "run", store=str(where))
    # The file is written, the store is not: a crash at the worst moment.
    with monkeypatch.context() as patched:
        patched.setattr("posttrain.recipes.sampled_store.SampledStore.add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sample(own)
    assert in_store(where) == []
    result = sample(own)
    assert in_store(where) == [item.sample_id for item in read_samples(result.responses_file)]
    assert (result.num_to_rank, result.num_nothing_to_rank) == (6, 0)
    assert sample(own).num_to_rank == 6, "again, and nothing is there twice"
    later = tmp_path / "later.db"
    assert sample(sampling(model, tmp_path / "run", store=str(later))).num_to_rank == 6
    assert in_store(later) == in_store(where)


def test_another_sampling_of_the_same_prompts_needs_a_prefix(model, tmp_path):
    where = str(tmp_path / "store.db")
    sample(sampling(model, tmp_path / "one", store=where))
    with pytest.raises(ConfigError, match="store_prefix"):
        sample(sampling(model, tmp_path / "two", store=where, sampling={"max_new_tokens": 5}))
    sample(
        sampling(model, tmp_path / "two", store=where, store_prefix="two/", sampling={"max_new_tokens": 5})
    )
    assert len(in_store(tmp_path / "store.db")) == 12


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"responses_per_prompt": 1}, "2 to 8"), ({"store": None, "store_prefix": "x"}, "none is set")],
)
def test_settings_that_cannot_work(model, tmp_path, changes, reason):
    with pytest.raises(ValueError, match=reason):
        sampling(model, tmp_path, **{"store": "s.db", **changes})
