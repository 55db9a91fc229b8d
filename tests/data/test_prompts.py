from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from posttrain.data.prompts import load_prompts
from posttrain.errors import DataError

GOOD = '{"prompt": "What is 3 + 4?", "answer": "7"}'


def write(folder: Path, *lines: str | bytes, name: str = "train.jsonl") -> Path:
    path = folder / name
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return path


def test_text_messages_ids_and_columns(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    path = write(tmp_path, GOOD, "", json.dumps({"prompt": messages, "id": 12, "k": {"a": [1]}}), "  ")
    first, second = load_prompts(path)
    assert (first.prompt_id, first.content, first.columns) == ("train/1", "What is 3 + 4?", {"answer": "7"})
    assert (second.prompt_id, second.content, second.columns) == ("12", tuple(messages), {"k": {"a": [1]}})


def test_byte_order_mark_crlf_and_another_column(tmp_path: Path) -> None:
    path = write(tmp_path, b'\xef\xbb\xbf{"question": "a"}\r', b'{"question": "b"}\r')
    assert [p.content for p in load_prompts(path, prompt_column="question")] == ["a", "b"]


BAD = [
    ('{"prompt": "a"', r"line 2: not valid JSON at column \d+"),
    ("[1]", "a JSON list, not an object"),
    ("7", "a JSON a number, not an object"),
    ("null", "null, not an object"),
    ('{"promt": "a"}', "no column 'prompt'; did you mean 'promt'"),
    ('{"x": "a"}', "its columns: x"),
    ("{}", "its columns: none"),
    ('{"prompt": ""}', "is empty"),
    ('{"prompt": " \\n"}', "is empty"),
    ('{"prompt": null}', "is null"),
    ('{"prompt": 7}', "is a number; it must be text or a list of messages"),
    ('{"prompt": {"role": "user"}}', "is an object"),
    ('{"prompt": []}', "empty list of messages"),
    ('{"prompt": ["a"]}', "message 1 is text, not an object"),
    ('{"prompt": [{"content": "a"}]}', "message 1 has no 'role'"),
    ('{"prompt": [{"role": "user", "contnt": "a"}]}', "no 'content'; did you mean 'contnt'"),
    ('{"prompt": [{"role": "user", "content": 3}]}', "'content' that is a number"),
    ('{"prompt": [{"role": "user", "content": [{"type": "image"}]}]}', "only text is supported"),
    ('{"prompt": [{"role": "usr", "content": "a"}]}', "unknown role 'usr'; did you mean 'user'"),
    ('{"prompt": [{"role": "user", "content": " "}]}', r"message 1 \(user\) is empty"),
    ('{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}', "last message is from the assistant"),
    ('{"prompt": [{"role": "user", "content": "a", "tool_calls": [1]}]}', "further key 'tool_calls'"),
    ('{"prompt": "a", "id": ""}', "the column 'id' is text"),
    ('{"prompt": "a", "id": true}', "the column 'id' is true or false"),
    ('{"prompt": "a", "id": "train/1"}', "the id 'train/1' was used in line 1 already"),
    ('{"prompt": "a", "prompt": "b"}', "'prompt' is written twice"),
    ('{"prompt": "a", "x": NaN}', "NaN is not valid JSON"),
    ('{"prompt": "\\ud800"}', "surrogate"),
    (b'{"prompt": "\xff"}', r"not UTF-8 \(byte 13 is 0xff\)"),
    ("[" * 100_000, "nested too deeply"),
    ('{"prompt": "a", "x": ' + "1" * 5000 + "}", "digits"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "words"), BAD)
def test_a_bad_line_is_named(tmp_path: Path, line: str | bytes, words: str) -> None:
    path = write(tmp_path, GOOD, line)
    with pytest.raises(DataError, match=words) as raised:
        load_prompts(path)
    assert f"{path}, line 2: " in str(raised.value)


def test_the_first_five_bad_lines_and_how_many_more(tmp_path: Path) -> None:
    path = write(tmp_path, *(["{}"] * 7), GOOD)
    with pytest.raises(DataError) as raised:
        load_prompts(path)
    text = str(raised.value)
    assert [f"line {n}:" in text for n in range(1, 9)] == [True] * 5 + [False] * 3
    assert text.endswith("and 2 more bad lines")


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    for name, words in (
        ("trian.jsonl", "did you mean 'train.jsonl'"),
        ("none/x.jsonl", "does not exist"),
        (".", "is a folder"),
    ):
        with pytest.raises(DataError, match=words):
            load_prompts(tmp_path / name)
    for content, name, words in (
        (b"", "e.jsonl", "holds no prompts"),
        (b"\n \n", "f.jsonl", "holds no prompts"),
        (b"a", "g.csv", "neither"),
        (b"PAR1", "h.parquet", "cannot be read as Parquet"),
    ):
        with pytest.raises(DataError, match=words):
            load_prompts(write(tmp_path, content, name=name))


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"prompt": ["a", "b"], "answer": ["1", None], "n": [[1, 2], [3]]}), path)
    first, second = load_prompts(path)
    assert (first.prompt_id, first.content, first.columns) == ("p/1", "a", {"answer": "1", "n": [1, 2]})
    assert second.columns == {"answer": None, "n": [3]}
    messages = [
        [{"role": "user", "content": "a", "name": None}],
        [{"role": "assistant", "content": "a", "name": None}],
    ]
    pq.write_table(pa.table({"prompt": messages}), path)
    with pytest.raises(DataError, match=r"p\.parquet, row 2: the last message"):
        load_prompts(path)
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), path)
    with pytest.raises(DataError, match="holds no prompts"):
        load_prompts(path)


def test_checking_imports_neither_torch_nor_transformers(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    code = (
        "import sys, posttrain.data, posttrain.rewards\n"
        f"posttrain.data.load_prompts({str(path)!r})\n"
        "posttrain.data.make_task('sums').problem(0, 'train')\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
