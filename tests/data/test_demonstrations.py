from __future__ import annotations

import json

import pytest

from posttrain.data.demonstrations import (
    Demonstration,
    DemonstrationColumns,
    load_demonstrations,
    split_by_question,
    without_duplicates,
)
from posttrain.errors import DataError
from posttrain.types import Message

COLUMNS = DemonstrationColumns("messages", "prompt", "completion", "text")


def user(text):
    return Message(role="user", content=text)


def assistant(text):
    return Message(role="assistant", content=text)


def written(tmp_path, *rows, name="own.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_three_kinds_in_one_file(tmp_path):
    path = written(
        tmp_path,
        {"messages": [user("a"), assistant("b")], "text": None},
        {"prompt": "a", "completion": "b", "id": "mine"},
        {"prompt": [user("a")], "completion": [assistant("b")]},
        {"prompt": [user("a")], "completion": "b", "messages": None},
        {"text": "a b"},
        {"prompt": "a", "text": "b"},
    )
    found = load_demonstrations(path, COLUMNS)
    assert [item.demonstration_id for item in found] == ["own/1", "mine", "own/3", "own/4", "own/5", "own/6"]
    conversation = (user("a"), assistant("b"))
    assert [None if item.is_plain_text else item.messages for item in found] == [conversation] * 4 + [
        None
    ] * 2
    assert [item.num_context_messages for item in found[:4]] == [0, 1, 1, 1]
    assert [item.target for item in found[4:]] == ["a b", "b"]


def test_other_columns_as_gsm8k_has_them(tmp_path):
    path = written(tmp_path, {"question": "3 + 4?", "answer": "#### 7"})
    (found,) = load_demonstrations(path, DemonstrationColumns("messages", "question", "answer", "text"))
    assert (found.context, found.target) == ("3 + 4?", "#### 7")


def test_parquet_is_the_same(tmp_path):
    import pyarrow
    import pyarrow.parquet

    rows = [
        {"messages": [dict(user("a")), dict(assistant("b"))], "text": None},
        {"messages": None, "text": "c"},
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "own.parquet")
    jsonl = load_demonstrations(written(tmp_path, *rows), COLUMNS)
    assert load_demonstrations(tmp_path / "own.parquet", COLUMNS) == jsonl


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [user("a")]}, "no assistant turn (roles: user)"),
        ({"messages": [assistant("a"), user("b")]}, "begins with the assistant"),
        ({"messages": [Message(role="system", content="s"), assistant("a")]}, "begins with the assistant"),
        ({"messages": [user("a"), assistant("")]}, "message 2 (assistant) is empty"),
        ({"messages": [user("a"), assistant(" \n")]}, "is empty"),
        ({"messages": [user("a"), {"role": "asistant", "content": "b"}]}, "did you mean 'assistant'"),
        ({"messages": []}, "empty list"),
        ({"messages": "a"}, "must be a list of messages"),
        ({"prompt": "a", "completion": ""}, "'completion' is empty"),
        ({"prompt": "", "completion": "a"}, "'prompt' is empty"),
        ({"prompt": "a", "completion": 7}, "'completion' is a number"),
        ({"prompt": "a", "completion": [user("b")]}, "no assistant turn"),
        ({"prompt": "a", "completion": [user("b"), assistant("c")]}, "begins with a message of the role 'user'"),
        ({"prompt": [user("a"), assistant("b")], "completion": "c"}, "the last message is from the assistant"),
        ({"prompt": "a"}, "no column 'completion'"),
        ({"completion": "a"}, "no column 'prompt'"),
        ({"prompt": "a", "responses": ["b"]}, "reject-sample"),
        ({"text": " "}, "'text' is empty"),
        ({"question": "a", "answer": "b"}, "its columns: question, answer"),
        ({}, "its columns: none"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named_with_its_reason(tmp_path, row, reason):
    path = written(tmp_path, {"text": "good"}, row)
    with pytest.raises(DataError) as caught:
        load_demonstrations(path, COLUMNS)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert reason in str(caught.value)


def test_copies_are_dropped_and_the_first_is_named():
    rows = [
        Demonstration("1", "a", "b"),
        Demonstration("2", (user("a"),), (assistant("b"),)),  # the same, written as messages
        Demonstration(
            "3", (), (user("a"), assistant("b"))
        ),  # a conversation: learned in full, so another example
        Demonstration("4", "a", "c"),
        Demonstration("5", "", "a"),
        Demonstration("6", "", "a"),
    ]
    kept, dropped = without_duplicates(rows)
    assert [item.demonstration_id for item in kept] == ["1", "3", "4", "5"]
    assert [str(item) for item in dropped] == ["2 dropped: the same as an earlier one (the first is 2)"]
    kept, dropped = without_duplicates(rows, keep=True)
    assert (kept, dropped) == (rows, [])


def test_what_is_held_out_is_not_trained_on():
    rows = [Demonstration("1", "a", "b"), Demonstration("2", "a", "c")]
    for keep in (False, True):
        kept, dropped = without_duplicates(rows, held_out=[Demonstration("x", "a", "b")], keep=keep)
        assert [item.demonstration_id for item in kept] == ["2"]
        assert dropped[0].reason == "also in the held-out file"


def test_two_answers_to_one_question_share_a_side():
    rows = [Demonstration(f"{n}/{k}", f"question {n}", f"answer {k}") for n in range(200) for k in range(2)]
    rows += [
        Demonstration(f"{n}/m", (), (user(f"question {n}"), assistant("x"), user("and?"), assistant("y")))
        for n in range(200)
    ]
    train, held_out = split_by_question(rows, 0.25)
    assert len(train) + len(held_out) == 600
    assert 20 < len({item.demonstration_id.split("/")[0] for item in held_out}) < 80
    assert not {i.demonstration_id.split("/")[0] for i in train} & {
        i.demonstration_id.split("/")[0] for i in held_out
    }
    assert split_by_question(rows, 0.0) == (rows, [])
