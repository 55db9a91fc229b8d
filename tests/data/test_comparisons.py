"""Rankings, TRL's pairs and hh-rlhf's transcripts: what they become, what is dropped, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from posttrain.data.comparisons import (
    ALL_BUT_ONE_CUT,
    CUT,
    EQUAL_TEXTS,
    NO_WEIGHT,
    ONE_RESPONSE,
    load_rankings,
    prompt_key,
    split_by_prompt,
)
from posttrain.data.conversation_pairs import PARTS_EARLY
from posttrain.data.reference_answers import drawn_by_content, load_reference_answers
from posttrain.errors import DataError
from posttrain.types import Message, Ranking

HH_HARMLESS = Path(__file__).parents[2] / ".." / "shared" / "data" / "hh-harmless" / "pairs.jsonl"


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", content=text)


def write(folder: Path, *records: Any) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def load_one(folder: Path, record: dict[str, Any]) -> Ranking:
    rankings, dropped = load_rankings(write(folder, record))
    assert dropped == []
    assert len(rankings) == 1
    return rankings[0]


def test_a_ranking_with_ties(tmp_path):
    record = {
        "id": "q/1", "prompt": "What is 3 + 4?", "responses": ["8", "7", "9"], "ranks": [2, 0, 2],
        "annotator": "anna", "weight": 2, "margin": 0.5, "model": "smollm2",
    }  # fmt: skip
    # Gaps between ranks mean nothing.
    assert load_one(tmp_path, record) == Ranking(
        "q/1", "What is 3 + 4?", ("8", "7", "9"), (1, 0, 1), "anna", 2.0, 0.5
    )


PAIR = Ranking("data/1", "3 + 4?", ("7", "8"), (0, 1))
CHAT_PAIR = Ranking("data/1", (user("3 + 4?"),), ("7", "8"), (0, 1))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "3 + 4?", "chosen": "7", "rejected": "8"}, PAIR),
        ({"prompt": [user("3 + 4?")], "chosen": "7", "rejected": "8"}, CHAT_PAIR),
        ({"prompt": [user("3 + 4?")], "chosen": [assistant("7")], "rejected": [assistant("8")]}, CHAT_PAIR),
        ({"prompt": "3 + 4?", "chosen": [assistant("7")], "rejected": [assistant("8")]}, PAIR),
        # The implicit prompt, and UltraFeedback's: the prompt as text beside whole conversations.
        (
            {"chosen": [user("3 + 4?"), assistant("7")], "rejected": [user("3 + 4?"), assistant("8")]},
            CHAT_PAIR,
        ),
        (
            {
                "prompt": "3 + 4?",
                "chosen": [user("3 + 4?"), assistant("7")],
                "rejected": [user("3 + 4?"), assistant("8")],
            },
            CHAT_PAIR,
        ),
        (
            {
                "chosen": "\n\nHuman: 3 + 4?\n\nAssistant: 7",
                "rejected": "\n\nHuman: 3 + 4?\n\nAssistant: 8 ",
                "responses": None,
            },
            CHAT_PAIR,
        ),
    ],
)
def test_pairs_of_every_kind(tmp_path, record, expected):
    assert load_one(tmp_path, record) == expected


def test_a_transcript_of_several_turns(tmp_path):
    start = "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: Name a fruit:\nany\n\nAssistant:"
    found = load_one(tmp_path, {"chosen": f"{start} Apple", "rejected": f"{start}"})
    assert found.prompt == (user("Hello"), assistant("Hi."), user("Name a fruit:\nany"))
    # An empty answer is one: a model may end its turn at once.
    assert found.responses == ("Apple", "")


def test_what_teaches_nothing_is_dropped_and_counted(tmp_path):
    found = load_rankings(
        write(
            tmp_path,
            {"prompt": "a", "chosen": "same", "rejected": "same"},
            {"prompt": "b", "chosen": "one", "rejected": "two"},
            {"prompt": "c", "responses": ["alone"], "ranks": [0]},
            {"prompt": "d", "responses": ["x", "x", "x"], "ranks": [0, 1, 2]},
            {"prompt": "e", "responses": ["x", "y"], "ranks": [0, 1], "weight": 0},
            {
                "chosen": [user("f"), assistant("1"), user("g"), assistant("2")],
                "rejected": [user("f"), assistant("3")],
            },
        )
    )
    assert [ranking.prompt for ranking in found.rankings] == ["b"]
    assert [(entry.reason, entry.count, entry.first) for entry in found.dropped] == [
        (EQUAL_TEXTS, 2, "data/1"),
        (ONE_RESPONSE, 1, "data/3"),
        (NO_WEIGHT, 1, "data/5"),
        (PARTS_EARLY, 1, "data/6"),
    ]


def test_responses_that_were_cut_by_length_are_left_out_and_counted(tmp_path):
    """Read as ended, a cut response would teach that its middle is a good or a bad end."""

    def ranked(*reasons: str) -> dict[str, Any]:
        texts = ["a", "b", "c"][: len(reasons)]
        ranks = list(range(len(reasons)))
        return {"prompt": "q", "responses": texts, "ranks": ranks, "finish_reasons": list(reasons)}

    found = load_rankings(
        write(
            tmp_path,
            ranked("eos", "length", "stop"),
            ranked("eos", "length"),
            ranked("length", "length"),
            ranked("eos", "eos"),
        )
    )
    assert [(item.ranking_id, item.responses, item.ranks) for item in found.rankings] == [
        ("data/1", ("a", "c"), (0, 1)),
        ("data/4", ("a", "b"), (0, 1)),
    ]
    assert [(entry.reason, entry.count, entry.first) for entry in found.dropped] == [
        (CUT, 4, "data/1"),
        (ALL_BUT_ONE_CUT, 2, "data/2"),
    ]


def test_a_prompt_is_one_as_text_and_as_a_message():
    """Else it could be trained on in one form and held out in the other."""
    as_text = Ranking("a", "3 + 4?", ("7", "8"), (0, 1))
    as_message = Ranking("b", (user("3 + 4?"),), ("7", "9"), (0, 1))
    assert prompt_key(as_text) == prompt_key(as_message)
    assert prompt_key(as_text) != prompt_key(Ranking("c", (assistant("3 + 4?"),), ("7", "8"), (0, 1)))
    for number in range(30):
        text, share = f"{number}?", 0.5
        rankings = [Ranking("a", text, ("7", "8"), (0, 1)), Ranking("b", (user(text),), ("7", "8"), (0, 1))]
        assert [len(side) for side in split_by_prompt(rankings, share)] in ([2, 0], [0, 2])


def test_copies_of_a_response_become_one_at_their_mean_rank(tmp_path):
    """A page that forces an order may part equal texts; their scores cannot differ."""
    found = load_one(tmp_path, {"prompt": "a", "responses": ["x", "y", "x", "z"], "ranks": [0, 1, 2, 3]})
    assert (found.responses, found.ranks) == (("x", "y", "z"), (0, 0, 1))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "a"}, "no column 'responses' with 'ranks'"),
        ({"prompt": "a", "chosen": "b"}, "no column 'rejected'"),
        ({"prompt": "a", "responses": ["b", "c"]}, "no column 'ranks'"),
        (
            {"prompt": "a", "responses": ["b", "c"], "ranks": [0, 1], "finish_reasons": ["eos"]},
            "1 finish_reasons for 2 responses",
        ),
        ({"prompt": "a", "responses": ["b", "c"], "rank": [0, 1]}, "did you mean 'rank'"),
        ({"promt": "a", "responses": ["b", "c"], "ranks": [0, 1]}, "did you mean 'promt'"),
        ({"prompt": "a", "responses": ["b", "c"], "ranks": [0]}, "1 ranks for 2 responses"),
        ({"prompt": "a", "responses": [], "ranks": []}, "an empty list"),
        ({"prompt": "a", "responses": ["b", 3], "ranks": [0, 1]}, "response 2 is a number"),
        ({"prompt": "a", "responses": ["b", "c"], "ranks": [0, 0.5]}, "rank 2 is 0.5"),
        ({"prompt": "a", "responses": ["b", "c"], "ranks": [0, -1]}, "rank 2 is -1"),
        ({"prompt": "a", "responses": ["b", "c"], "ranks": [True, False]}, "rank 1 is True"),
        ({"prompt": "a", "responses": ["b", "c"], "ranks": [0, 1], "weight": -1}, "not negative"),
        ({"prompt": "a", "responses": ["b", "c"], "ranks": [0, 1], "margin": "big"}, "not negative"),
        (
            {"prompt": "a", "responses": ["b", "c"], "ranks": [0, 1], "annotator": 7},
            "'annotator' is a number",
        ),
        ({"prompt": "a", "chosen": "b", "rejected": [assistant("c")]}, "both must be text"),
        ({"chosen": "b", "rejected": "c"}, "no column 'prompt'"),
        ({"chosen": [assistant("b")], "rejected": [assistant("c")]}, "there is no column 'prompt'"),
        ({"chosen": [user("a")], "rejected": [user("b")]}, "not with an answer"),
        (
            {"prompt": [assistant("a")], "responses": ["b", "c"], "ranks": [0, 1]},
            "last message is from the assistant",
        ),
        (
            {"chosen": [user("a"), assistant("b"), assistant("c")], "rejected": [user("a"), assistant("c")]},
            "two messages of the assistant",
        ),
    ],
)
def test_malformed_records_are_refused_with_their_line(tmp_path, record, reason):
    good = {"prompt": "a", "chosen": "b", "rejected": "c"}
    with pytest.raises(DataError) as error:
        load_rankings(write(tmp_path, good, record))
    assert f"{tmp_path / 'data.jsonl'}, line 2: " in str(error.value)
    assert reason in str(error.value)


def test_all_rankings_of_a_prompt_are_on_one_side():
    rankings = [
        Ranking(f"r{i}", f"prompt {i % 50}", ("a", "b"), (0, 1), annotator=f"person {i // 50}")
        for i in range(200)
    ]
    train, held_out = split_by_prompt(rankings, 0.3)
    assert len(train) + len(held_out) == 200
    assert not {prompt_key(r) for r in train} & {prompt_key(r) for r in held_out}
    assert 20 <= len(held_out) <= 100
    reversed_sides = split_by_prompt(rankings[::-1], 0.3)
    assert {r.ranking_id for r in reversed_sides[1]} == {r.ranking_id for r in held_out}
    assert split_by_prompt(rankings, 0.0)[1] == []


def test_reference_answers_are_demonstrations_or_the_best_of_comparisons(tmp_path):
    ranked = write(
        tmp_path,
        {"prompt": "a", "responses": ["x", "y", "z"], "ranks": [1, 0, 0]},
        {"prompt": "b", "chosen": "good", "rejected": "bad"},
    )
    assert [(p.content, text) for p, text in load_reference_answers(ranked)] == [("a", "y"), ("b", "good")]
    shown = write(
        tmp_path,
        {"prompt": "a", "completion": "y"},
        {"messages": [user("b"), assistant("c"), user("d"), assistant("e")]},
    )
    found = load_reference_answers(shown)
    assert [(p.content, text) for p, text in found] == [
        ("a", "y"),
        ((user("b"), assistant("c"), user("d")), "e"),
    ]
    assert drawn_by_content(found, 5) == drawn_by_content(found[::-1], 5)
    assert len(drawn_by_content(found, 1)) == 1
    with pytest.raises(DataError, match="nothing that it answers"):
        load_reference_answers(write(tmp_path, {"text": "once upon a time"}))


@pytest.mark.skipif(not HH_HARMLESS.exists(), reason="the real comparisons are not here")
def test_real_comparisons_of_hh_rlhf():
    rankings, dropped = load_rankings(HH_HARMLESS)
    assert len(rankings) + sum(entry.count for entry in dropped) == 1734
    assert [entry.reason for entry in dropped] == [PARTS_EARLY]
    assert dropped[0].count == 4
    for ranking in rankings:
        assert ranking.ranks == (0, 1)
        assert not isinstance(ranking.prompt, str)
        assert ranking.prompt[-1]["role"] == "user"
        assert "\n\nHuman:" not in "".join(ranking.responses)
