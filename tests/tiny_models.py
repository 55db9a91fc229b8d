"""Tiny random models and tokenizers, so that every test runs the real code in seconds and without a network.

    language_model = tiny_language_model("llama")          # a LanguageModel, ready to train and to sample
    folder = save_tiny_model(tmp_path / "model")           # what a user would name in a config

Kinds: `llama` (RoPE, grouped-query attention, tied embeddings), `gpt2` (absolute positions, Conv1D, tied),
`qwen3` (RoPE, query/key norms, untied), `gemma2` (soft-capped logits), `granite` and `cohere` (scaled logits).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.cohere import CohereConfig
from transformers.models.gemma2 import Gemma2Config
from transformers.models.gpt2 import GPT2Config
from transformers.models.granite import GraniteConfig
from transformers.models.llama import LlamaConfig
from transformers.models.qwen3 import Qwen3Config

if TYPE_CHECKING:
    from posttrain.models import LanguageModel

PAD, BOS, EOS, IM_START, IM_END = range(5)
"""Ids of `<pad>`, `<bos>`, `<eos>`, `<|im_start|>` and `<|im_end|>` in every tiny tokenizer."""

MAX_LENGTH = 256
KINDS = ("llama", "gpt2", "qwen3", "gemma2", "granite", "cohere")

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# A few merges, so that one string has several encodings and a stop string can span tokens ("EN" + "D!").
MERGES = [
    ("E", "N"),
    ("D", "!"),
    ("t", "h"),
    ("th", "e"),
    ("u", "s"),
    ("us", "e"),
    ("use", "r"),
    ("a", "s"),
    ("Ġ", "the"),
]


def tiny_tokenizer(
    *, chat_template: bool = True, pad_is_eos: bool = False, add_bos: bool = False
) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of about 270 ids: any text survives encode and decode.

    With `chat_template` it is ChatML and the end of sequence is `<|im_end|>` (id 4); without, it is `<eos>`
    (id 2). `pad_is_eos` as in SmolLM2. `add_bos`: encoding with special tokens puts `<bos>` first, as Llama's.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<pad>", "<bos>", "<eos>", "<|im_start|>", "<|im_end|>"]
    pieces = [*special, *alphabet, *(left + right for left, right in MERGES)]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in special])
    if add_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", BOS)]
        )
    eos = "<|im_end|>" if chat_template else "<eos>"
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token=eos,
        pad_token=eos if pad_is_eos else "<pad>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        clean_up_tokenization_spaces=False,
    )
    if chat_template:
        wrapped.chat_template = CHATML
    return wrapped


def tiny_config(kind: str = "llama", *, vocab_size: int | None = None, **overrides: Any) -> PretrainedConfig:
    """The configuration of a model of a few ten thousand parameters; `overrides` are its own field names."""
    vocab = len(tiny_tokenizer()) if vocab_size is None else vocab_size
    ids = {"vocab_size": vocab, "bos_token_id": BOS, "eos_token_id": IM_END, "pad_token_id": PAD}
    # The wide initialisation makes the distributions peaked enough for a wrong position or mask to be seen.
    if kind == "gpt2":
        return GPT2Config(
            **{
                **ids,
                "n_embd": 32,
                "n_layer": 2,
                "n_head": 4,
                "n_positions": MAX_LENGTH,
                "initializer_range": 0.3,
            }
            | overrides
        )
    shape: dict[str, Any] = {
        **ids,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": MAX_LENGTH,
        "initializer_range": 0.3,
        "tie_word_embeddings": kind != "qwen3",
    }
    if kind == "llama":
        return LlamaConfig(**shape | overrides)
    if kind == "qwen3":
        return Qwen3Config(**shape | {"head_dim": 8} | overrides)
    if kind == "gemma2":
        return Gemma2Config(**shape | {"head_dim": 8, "final_logit_softcapping": 5.0} | overrides)
    if kind == "granite":
        return GraniteConfig(**shape | {"logits_scaling": 4.0, "embedding_multiplier": 2.0} | overrides)
    if kind == "cohere":
        return CohereConfig(**shape | {"logit_scale": 0.25} | overrides)
    raise ValueError(f"no tiny model of kind {kind!r}; there are {', '.join(KINDS)}")


def tiny_model(
    kind: str = "llama", *, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any
) -> PreTrainedModel:
    """A random model in eval mode: the same weights for the same seed, whatever was drawn before."""
    from posttrain.models.weights import cast_parameters

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(kind, **overrides))
    cast_parameters(model, dtype)
    return model.eval()


def tiny_language_model(
    kind: str = "llama",
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    chat_template: bool = True,
    pad_is_eos: bool = False,
    **overrides: Any,
) -> LanguageModel:
    """A random model with its tokenizer, as `load_language_model` would hand it out."""
    from posttrain.models import LanguageModel

    tokenizer = tiny_tokenizer(chat_template=chat_template, pad_is_eos=pad_is_eos)
    model = tiny_model(kind, seed=seed, dtype=dtype, **{"eos_token_id": tokenizer.eos_token_id} | overrides)
    return LanguageModel(model, tokenizer)


def save_tiny_model(
    folder: str | Path,
    kind: str = "llama",
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    chat_template: bool = True,
    pad_is_eos: bool = False,
    add_bos: bool = False,
    generation: dict[str, Any] | None = None,
    **overrides: Any,
) -> Path:
    """Writes model and tokenizer as a Hugging Face folder and returns its path.

    `generation` goes into `generation_config.json` (for instance `{"top_k": 2, "eos_token_id": [4, 9]}`).
    """
    path = Path(folder)
    tokenizer = tiny_tokenizer(chat_template=chat_template, pad_is_eos=pad_is_eos, add_bos=add_bos)
    model = tiny_model(kind, seed=seed, dtype=dtype, **{"eos_token_id": tokenizer.eos_token_id} | overrides)
    for name, value in (generation or {}).items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
