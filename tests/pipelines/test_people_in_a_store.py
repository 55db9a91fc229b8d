"""The stage `rank` with a store: it waits for people, goes on when they are done, and sees what they say later."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.pipelines.small_pipelines import SmallPipeline
from tests.tiny_models import save_tiny_model

from posttrain import PreferenceStore
from posttrain.config.loading import load_config
from posttrain.config.pipeline import PipelineConfig
from posttrain.config.rank import RankStageConfig
from posttrain.errors import ConfigError, DataError
from posttrain.pipelines import pipeline
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.judgements import current_judgement, submit
from posttrain.preferences.store.people import add_annotator, list_annotators
from posttrain.preferences.store.queue import next_item
from posttrain.preferences.store.records import Submission


def with_store(folder: Path, model: Path, **rank: object) -> SmallPipeline:
    small = SmallPipeline(folder, model)
    small.stages = {
        "samples": {**small.stages["samples"], "distinct": True, "further_draws": 6},
        "ranked": {"recipe": "rank", "samples": "@samples", "store": str(folder / "store.db"), **rank},
    }
    return small


def rank_next(where: Path, name: str = "anna") -> None:
    """What a person does on the page: the next item, in any order, submitted."""
    with open_store(where) as store:
        people = {person.name: person.annotator_id for person in list_annotators(store)}
        number = people.get(name) or add_annotator(store, name, "annotator", by=Actor()).annotator_id
        given = next_item(store, number)
        assert given is not None
        ranks = tuple(range(given.item.num_responses))
        submit(
            store,
            Submission(
                f"s-{given.item.item_id}-{name}",
                given.item.item_id,
                number,
                "ranking",
                given.order_shown,
                ranks,
            ),
        )


def test_people_are_waited_for_and_what_they_say_later_is_seen(model, tmp_path):
    small, where = with_store(tmp_path, model), tmp_path / "store.db"
    with pytest.raises(
        DataError, match=r"0 of 3 judgements of 3 prompts are there, 3 are missing.*posttrain rank"
    ) as error:
        small.run()
    assert str(where) in str(error.value)
    for _ in range(2):
        rank_next(where)
    with pytest.raises(DataError, match="1 are missing"):
        small.run()
    rank_next(where)
    assert small.actions() == {"samples": "skipped", "ranked": "ran"}
    lines = (tmp_path / "out/ranked/rankings.jsonl").read_text().splitlines()
    assert [json.loads(line)["ranks"] for line in lines] == [[0, 1, 2]] * 3
    # Four tokens end nothing: what people said of cut responses is told, and is no lesson.
    assert "0 rankings of people; left out: 9 dropped: the response was cut" in "\n".join(small.notes)
    assert small.actions() == {"samples": "skipped", "ranked": "skipped"}
    assert small.plan()["ranked"].reason == "done, and nothing changed"
    # Somebody thinks again.
    with open_store(where) as store:
        (anna,) = list_annotators(store)
        with store.reading() as connection:
            before = current_judgement(connection, anna.annotator_id, 1)
        assert before is not None
        again = Submission(
            "later",
            1,
            anna.annotator_id,
            "ranking",
            before.order_shown,
            (1, 0, 2),
            replaces=before.judgement_id,
        )
        submit(store, again)
    assert re.search("content of store .* changed", small.plan()["ranked"].reason)
    assert small.actions() == {"samples": "skipped", "ranked": "ran"}
    first = json.loads((tmp_path / "out/ranked/rankings.jsonl").read_text().splitlines()[0])
    assert first["ranks"] == [1, 0, 2]


def test_enough_is_what_min_judgements_says(model, tmp_path):
    small = with_store(tmp_path, model, min_judgements=1)
    with pytest.raises(DataError, match="0 of min_judgements = 1"):
        small.run()
    rank_next(tmp_path / "store.db")
    assert small.actions()["ranked"] == "ran"


def test_a_store_that_sampling_fills_is_no_input_of_it(model, tmp_path):
    small = with_store(tmp_path, model, min_judgements=1)
    small.stages["samples"]["store"] = str(tmp_path / "store.db")
    with pytest.raises(DataError, match="waits for people"):
        small.run()
    rank_next(tmp_path / "store.db")
    assert small.actions() == {"samples": "skipped", "ranked": "ran"}


def test_settings_that_cannot_work(tmp_path):
    for values, reason in (
        ({"store": "s.db", "rankings": "r.jsonl"}, "Remove one"),
        ({"store": "s.db", "reward": {"terms": [{"name": "exact_answer"}]}}, "in the store people rank"),
        ({"min_judgements": 5, "rankings": "r.jsonl"}, "Set store"),
    ):
        with pytest.raises(ValueError, match=reason):
            RankStageConfig.model_validate({"output": tmp_path / "r.jsonl", **values})


def test_a_reward_model_of_a_store_is_done_again_when_people_said_more(model, tmp_path):
    small, where = SmallPipeline(tmp_path, model), tmp_path / "store.db"
    with PreferenceStore.create(where) as store:
        for number in range(3):
            store.add(f"p{number}", ["one", "two", "three"])
    rank_next(where)
    rank_next(where)
    small.stages = {
        "reward": {"recipe": "reward_model", "steps": 1, "data": {"path": str(where), "held_out_share": 0.0}}
    }
    assert small.plan()["reward"].action == "run"
    small.stages["reward"]["data"]["path"] = "postgresql://anna:secret@localhost/db"
    with pytest.raises(ConfigError, match="PGPASSWORD"):
        small.plan()
    small.stages["reward"]["data"]["path"] = str(where)
    assert small.actions() == {"reward": "ran"}
    assert small.actions() == {"reward": "skipped"}
    rank_next(where)
    assert "content of data.path" in small.plan()["reward"].reason


@pytest.mark.slow
def test_the_example_goes_from_answers_over_people_to_a_policy(tmp_path):
    """examples/people_rank.toml on a tiny model: it waits, people rank, and the same command goes to the end."""
    root = Path(__file__).parents[2]
    tiny = save_tiny_model(tmp_path / "tiny", seed=1, max_position_embeddings=1024)
    config = load_config(PipelineConfig, root / "examples/people_rank.toml")
    where = tmp_path / "people.db"
    small = {
        "samples": {"num_prompts": 12, "sampling": {"max_new_tokens": 250}},
        "ranked": {"store": str(where), "min_judgements": 12},
        "reward": {"steps": 2, "epochs": 1},
        "policy": {
            "steps": 1,
            "prompts_per_step": 4,
            "evaluation": {"num_prompts": 2, "samples_per_prompt": 2},
        },
        "score": {"evaluation": {"num_prompts": 2, "samples_per_prompt": 2}},
    }
    stages = {name: {**table, **small[name]} for name, table in config.stages.items()}
    config = config.model_copy(update={"stages": stages, "model": str(tiny), "output": tmp_path / "out"})
    with pytest.raises(DataError, match="0 of min_judgements = 12"):
        pipeline(config)
    for _ in range(12):
        rank_next(where)
    result = pipeline(config)
    assert result.is_complete
    assert [stage.action for stage in result.stages] == ["skipped", "ran", "ran", "ran", "ran"]
    assert {stage.action for stage in pipeline(config).stages} == {"skipped"}
