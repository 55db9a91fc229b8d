"""What was tokenised once is opened again only when it is whole and was made of the same things."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posttrain.data import token_store
from posttrain.data.token_store import open_token_store, write_token_store
from posttrain.data.tokenizer_training import encode_documents, train_tokenizer
from posttrain.errors import DataError

TRAIN = ["to be or not to be", "é", "that is the question"]
HELD_OUT = ["to be, é or zz"]
TOKENIZER = train_tokenizer("characters", TRAIN, vocab_size=1)


def written(folder, held_out=HELD_OUT, tokenizer=TOKENIZER, **more):
    folder.mkdir()
    write_token_store(folder, tokenizer, iter(TRAIN), held_out, fingerprint="abc", **more)
    return folder


def test_what_is_read_is_what_was_written(tmp_path):
    store = open_token_store(written(tmp_path / "s"), fingerprint="abc")
    for documents, texts in ((store.train, TRAIN), (store.held_out, HELD_OUT)):
        assert len(documents) == len(texts)
        for place, ids in enumerate(encode_documents(TOKENIZER, texts)):
            piece = documents.piece(place, 0, len(ids) + 1)
            assert piece.tolist() == [TOKENIZER.bos_token_id, *ids, TOKENIZER.eos_token_id]
        assert documents.num_targets == sum(map(len, texts)) + len(texts)
        assert documents.num_bytes == sum(len(text.encode()) for text in texts)
    assert store.train.ids.dtype == np.uint16
    assert store.train.num_unknown == 0
    assert store.held_out.num_unknown == 3  # the comma and two z
    assert open_token_store(store.folder, fingerprint="abd") is None


def test_a_piece_in_the_middle_begins_with_the_token_before_it(tmp_path):
    train = open_token_store(written(tmp_path / "s"), fingerprint="abc").train
    whole = train.piece(2, 0, 21)
    assert train.piece(2, 4, 9).tolist() == whole[4:10].tolist()
    assert train.piece(2, 20, 21).tolist() == whole[20:22].tolist()


def test_a_large_vocabulary_takes_4_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(type(TOKENIZER), "__len__", lambda self: (1 << 16) + 1)
    store = open_token_store(written(tmp_path / "s"), fingerprint="abc")
    assert store.train.ids.dtype == np.uint32
    assert store.train.piece(1, 0, 2)[1] == encode_documents(TOKENIZER, ["é"])[0][0]


def test_batches_change_nothing(tmp_path, monkeypatch):
    whole = written(tmp_path / "whole")
    monkeypatch.setattr(token_store, "_BATCH_CHARACTERS", 1)
    done = []
    single = written(tmp_path / "single", progress=done.append)
    for name in ("train.ids", "train.offsets", "held_out.ids", "contents.json"):
        assert (whole / name).read_bytes() == (single / name).read_bytes()
    assert done == [1, 2, 3, 1]


@pytest.mark.parametrize("name", ["train.ids", "train.offsets", "held_out.ids", "contents.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_store_is_not_opened(tmp_path, name, damage):
    folder = written(tmp_path / "s")
    path = folder / name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-2])
    else:
        path.unlink()
    assert open_token_store(folder, fingerprint="abc") is None


def test_another_format_is_not_opened(tmp_path, monkeypatch):
    folder = written(tmp_path / "s")
    monkeypatch.setattr(token_store, "FORMAT", token_store.FORMAT + 1)
    assert open_token_store(folder, fingerprint="abc") is None
    assert json.loads((folder / "contents.json").read_text())["format"] == token_store.FORMAT - 1


def test_nothing_held_out_and_nothing_left(tmp_path):
    assert open_token_store(written(tmp_path / "a", held_out=None), fingerprint="abc").held_out is None
    with pytest.raises(DataError, match="nothing is held out"):
        written(tmp_path / "b", held_out=[])
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match="no text is left to train on"):
        write_token_store(tmp_path / "c", TOKENIZER, [], None, fingerprint="")
