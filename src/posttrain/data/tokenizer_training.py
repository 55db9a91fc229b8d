"""Tokenizers made from the training text, and what a document begins and ends with under any tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

from posttrain.errors import ConfigError

TokenizerKind = Literal["bpe", "characters", "bytes"]

PAD, BOS, EOS, UNKNOWN = "<pad>", "<bos>", "<eos>", "<unk>"
SPECIAL: Final = (PAD, BOS, EOS)
MIN_BPE: Final = 256 + len(SPECIAL) + 1
_MAX_TRAINING_CHARACTERS: Final = 200_000_000


class DocumentEnds(NamedTuple):
    """The ids that a document begins and ends with."""

    start_id: int
    end_id: int


def train_tokenizer(kind: TokenizerKind, texts: Iterable[str], *, vocab_size: int) -> Any:
    """A `PreTrainedTokenizerFast` with `<pad>`, `<bos>`, `<eos>`; encoding with special tokens puts `<bos>` first.

    `"bpe"` is byte-level with at most `vocab_size` ids, `"bytes"` the same without any merge, `"characters"` has
    one id for each character of `texts` and `<unk>` for any other. The same texts give the same tokenizer.
    At most the first 200 million characters are looked at. ConfigError for a vocabulary without room for bytes.
    """
    if kind == "bpe" and vocab_size < MIN_BPE:
        raise ConfigError(
            f"tokenizer.vocab_size = {vocab_size} is too small: byte-level BPE starts from 256 bytes and "
            f'{len(SPECIAL)} special tokens. Set at least {MIN_BPE}, or choose kind = "bytes".'
        )
    texts = _first_characters(texts)
    tokenizer = _characters(texts) if kind == "characters" else _byte_level(kind, texts, vocab_size)
    return _wrapped(tokenizer, with_unknown=kind == "characters")


def document_ends(tokenizer: Any) -> DocumentEnds:
    """BOS and EOS where the tokenizer itself puts BOS before a text (Llama), else EOS for both (GPT-2).

    ConfigError for a tokenizer without an end-of-sequence token.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise ConfigError(
            "the tokenizer has no end-of-sequence token, so documents cannot be told apart; set eos_token in its "
            "tokenizer_config.json, or choose another tokenizer"
        )
    first = tokenizer("a")["input_ids"][:1]
    bos = tokenizer.bos_token_id
    return DocumentEnds(int(bos) if bos is not None and first == [bos] else int(end), int(end))


def encode_documents(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """The ids of each text, without special tokens: `<eos>` written out in a text is text."""
    # verbose: no warning that a document is longer than the model; it will be cut into rows.
    encoded = tokenizer(
        texts,
        add_special_tokens=False,
        split_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return list(encoded["input_ids"])


def _first_characters(texts: Iterable[str]) -> Iterator[str]:
    left = _MAX_TRAINING_CHARACTERS
    for text in texts:
        yield text[:left]
        left -= len(text)
        if left <= 0:
            return


def _byte_level(kind: TokenizerKind, texts: Iterator[str], vocab_size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if kind == "bytes":
        ids = {piece: i for i, piece in enumerate([*SPECIAL, *alphabet])}
        tokenizer = Tokenizer(models.BPE(ids, []))
    else:
        tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if kind == "bpe":
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIAL),
            initial_alphabet=alphabet,
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _characters(texts: Iterator[str]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    known: set[str] = set()
    for text in texts:
        known.update(text)
    pieces = [*SPECIAL, UNKNOWN, *sorted(known)]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _wrapped(tokenizer: Any, *, with_unknown: bool) -> Any:
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    special = [*SPECIAL, *([UNKNOWN] if with_unknown else [])]
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in special])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    make: Any = PreTrainedTokenizerFast
    return make(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNKNOWN if with_unknown else None,
        clean_up_tokenization_spaces=False,
    )
