"""Trained tokenizers give text back, are the same for the same text, and know their limits."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_models import BOS, EOS, tiny_tokenizer

from posttrain.data.tokenizer_training import MIN_BPE, document_ends, encode_documents, train_tokenizer
from posttrain.errors import ConfigError
from posttrain.models.tokenizer_loading import load_tokenizer, tokenizer_digest

TEXTS = ["the cat sat on the mat, the rat sat on the cat\n" * 5, "naïve café — 東京\n"]
TOKENIZERS = {kind: train_tokenizer(kind, TEXTS, vocab_size=280) for kind in ("bpe", "characters", "bytes")}


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=40))
def test_bytes_give_any_text_back(kind, text):
    tokenizer = TOKENIZERS[kind]
    (ids,) = encode_documents(tokenizer, [text])
    assert tokenizer.decode(ids) == text
    if kind == "bytes":
        assert len(ids) == len(text.encode())


@given(text=st.text(alphabet="the catsonmr,\n é東<>eos", max_size=30))
def test_characters_are_one_id_each_and_others_unknown(text):
    tokenizer = TOKENIZERS["characters"]
    (ids,) = encode_documents(tokenizer, [text])
    known = set("".join(TEXTS))
    assert len(ids) == len(text)
    assert [i == tokenizer.unk_token_id for i in ids] == [character not in known for character in text]
    if set(text) <= known:
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_special_tokens_written_in_a_text_are_text(kind):
    (ids,) = encode_documents(TOKENIZERS[kind], ["a<eos><bos>b"])
    assert not {TOKENIZERS[kind].eos_token_id, TOKENIZERS[kind].bos_token_id} & set(ids)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_it_survives_saving_and_puts_bos_first(kind, tmp_path):
    tokenizer = TOKENIZERS[kind]
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded("the rat")["input_ids"] == tokenizer("the rat")["input_ids"]
    assert loaded("the rat")["input_ids"][0] == loaded.bos_token_id
    assert tokenizer_digest(loaded) == tokenizer_digest(tokenizer)
    assert document_ends(loaded) == (loaded.bos_token_id, loaded.eos_token_id)
    assert loaded.decode(encode_documents(loaded, ["the mat, \n ."])[0]).startswith("the mat, \n ")


@pytest.mark.slow
def test_bpe_is_the_same_in_another_process():
    code = (
        "from posttrain.data.tokenizer_training import train_tokenizer as t\n"
        f"print(t('bpe', {TEXTS!r}, vocab_size=280).backend_tokenizer.to_str())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == TOKENIZERS["bpe"].backend_tokenizer.to_str()


def test_the_digest_tells_tokenizers_apart():
    assert len({tokenizer_digest(tokenizer) for tokenizer in TOKENIZERS.values()}) == 3


def test_sizes():
    assert len(TOKENIZERS["bpe"]) == 280
    assert len(TOKENIZERS["bytes"]) == 259
    assert len(TOKENIZERS["characters"]) == 4 + len(set("".join(TEXTS)))


def test_a_vocabulary_without_room_for_bytes_is_refused():
    with pytest.raises(ConfigError, match=f"vocab_size = 100 is too small.*at least {MIN_BPE}"):
        train_tokenizer("bpe", TEXTS, vocab_size=100)
    assert len(train_tokenizer("bpe", TEXTS, vocab_size=MIN_BPE)) == MIN_BPE


def test_only_so_many_characters_are_looked_at(monkeypatch):
    monkeypatch.setattr("posttrain.data.tokenizer_training._MAX_TRAINING_CHARACTERS", 3)
    seen = []

    def texts():
        for text in ("ab", "cd", "ef"):
            seen.append(text)
            yield text

    assert len(train_tokenizer("characters", texts(), vocab_size=1)) == 4 + 3
    assert seen == ["ab", "cd"]


def test_documents_begin_as_the_tokenizer_begins_them():
    assert document_ends(tiny_tokenizer(chat_template=False, add_bos=True)) == (BOS, EOS)
    assert document_ends(tiny_tokenizer(chat_template=False)) == (EOS, EOS)


def test_a_tokenizer_without_an_end_is_refused():
    tokenizer = tiny_tokenizer(chat_template=False)
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="no end-of-sequence token"):
        document_ends(tokenizer)
