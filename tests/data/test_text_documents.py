"""Files, folders and patterns become documents one by one; what is wrong is said with file and line."""

from __future__ import annotations

import json

import pytest

from posttrain.data.text_documents import TextSplit, count_documents, read_documents, split_of
from posttrain.data.text_sources import content_digest, find_text_sources
from posttrain.errors import DataError


def jsonl(path, *records):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
    return str(path)


def texts_of(names, column="text"):
    return list(read_documents(find_text_sources(names), column))


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "b.txt").write_text("a book\nwith lines\n")
    (tmp_path / "a.md").write_text("# notes")
    (tmp_path / "inner").mkdir()
    jsonl(tmp_path / "inner/pages.jsonl", {"text": "one"}, {"text": "  \n"}, {"text": "two", "url": "x"})
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.txt").write_text("not this")
    return tmp_path


def test_a_folder_a_pattern_a_file_and_a_list(corpus):
    everything = ["# notes", "a book\nwith lines\n", "one", "two"]
    assert texts_of(str(corpus)) == everything
    assert texts_of(str(corpus / "*.txt")) == ["a book\nwith lines\n"]
    assert texts_of([str(corpus / "b.txt"), str(corpus / "inner"), str(corpus / "b.txt")]) == [
        "a book\nwith lines\n",
        "one",
        "two",
    ]


def test_parquet_and_another_column(tmp_path):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"body": ["x", "", "y"]}), tmp_path / "p.parquet")
    assert texts_of(str(tmp_path / "p.parquet"), "body") == ["x", "y"]
    with pytest.raises(DataError, match=r"p\.parquet, row 1: no column 'text'; its columns: body"):
        texts_of(str(tmp_path / "p.parquet"))


def test_empty_documents_are_left_out_and_counted(corpus):
    counts = count_documents(find_text_sources(str(corpus)), "text")
    assert (counts.num_documents, counts.num_empty) == (4, 1)


def test_the_text_that_comes_with_python():
    texts = texts_of("pydoc")
    assert len(texts) > 50
    assert sum(map(len, texts)) > 300_000


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (({"text": "a"}, {"txt": "b"}), r"line 2: no column 'text'; did you mean 'txt'\?"),
        (({"text": 3},), r"line 1: the column 'text' is a number"),
        (({"text": None},), r"line 1: the column 'text' is null"),
        (({"text": "a"}, "{broken"), r"line 2: not valid JSON"),
        (({"text": "a"}, '{"text": "\\ud800"}'), r"line 2: .* surrogate"),
    ],
)
def test_bad_records_are_named(tmp_path, records, message):
    path = jsonl(tmp_path / "bad.jsonl", *records)
    with pytest.raises(DataError, match=r"bad\.jsonl, " + message):
        count_documents(find_text_sources(path), "text")


def test_five_bad_lines_are_shown_and_the_others_counted(tmp_path):
    path = jsonl(tmp_path / "bad.jsonl", *[{"x": 1}] * 8)
    with pytest.raises(DataError, match="and 3 more bad lines") as caught:
        count_documents(find_text_sources(path), "text")
    assert str(caught.value).count("bad.jsonl, line ") == 5


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"fine\nna\xefve\n")
    with pytest.raises(DataError, match=r"latin\.txt, line 2: not UTF-8 \(byte 0xef\)"):
        texts_of(str(tmp_path / "latin.txt"))


def test_nothing_to_read_is_said(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match="every document is empty"):
        count_documents(find_text_sources(str(tmp_path / "empty.txt")), "text")
    with pytest.raises(DataError, match=r"did you mean 'empty\.txt'"):
        find_text_sources(str(tmp_path / "emty.txt"))
    with pytest.raises(DataError, match="no file matches"):
        find_text_sources(str(tmp_path / "*.jsonl"))
    (tmp_path / "inner").mkdir()
    with pytest.raises(DataError, match=r"holds no \.txt"):
        find_text_sources(str(tmp_path / "inner"))
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(DataError, match="rename a plain text"):
        find_text_sources(str(tmp_path / "a.pdf"))
    with pytest.raises(DataError, match="empty list"):
        find_text_sources([])


def test_a_plain_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("posttrain.data.text_documents.MAX_PLAIN_BYTES", 10)
    (tmp_path / "long.txt").write_text("x" * 11)
    with pytest.raises(DataError, match="Split it"):
        texts_of(str(tmp_path / "long.txt"))


def test_the_digest_is_of_contents_and_kinds_alone(tmp_path):
    first, same, other, kind = (tmp_path / name for name in ("a.txt", "b.txt", "c.txt", "d.md"))
    for path, text in ((first, "x"), (same, "x"), (other, "y"), (kind, "x")):
        path.write_text(text)
    digests = [content_digest(find_text_sources(str(path))) for path in (first, same, other, kind)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert content_digest(find_text_sources("pydoc")) == content_digest(find_text_sources("pydoc"))


def test_one_book_is_held_out_at_its_end():
    split = split_of(1, 0.1)
    text = "".join(chr(97 + i % 26) for i in range(1000))
    (train,), (held_out,) = (list(split.part([text], held_out=side)) for side in (False, True))
    assert train + held_out == text
    assert len(held_out) == 100


def test_many_documents_are_held_out_whole_and_by_content():
    split = split_of(1000, 0.1)
    texts = [f"page {i}" for i in range(1000)]
    train, held_out = (list(split.part(texts, held_out=side)) for side in (False, True))
    assert sorted(train + held_out) == sorted(texts)
    assert 60 < len(held_out) < 140
    assert list(split.part(texts[::-1], held_out=True)) == held_out[::-1]
    # The same text twice is on one side twice.
    assert list(split.part([held_out[0]] * 2, held_out=False)) == []


def test_nothing_is_held_out_at_share_0():
    assert split_of(3, 0.0) == TextSplit(0.0, cuts_documents=False)
    assert list(split_of(3, 0.0).part(["a", "b"], held_out=False)) == ["a", "b"]
