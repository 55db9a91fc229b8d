"""A small Llama-like model from random weights: its shape, its number of parameters, and how it begins."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from posttrain.models.language_model import LanguageModel
from posttrain.models.weights import cast_parameters

RESIDUAL_OUTPUTS = (".self_attn.o_proj.weight", ".mlp.down_proj.weight")
"""The layers that write into the residual stream; everything that they write adds up over the depth."""


@dataclass(frozen=True)
class ModelShape:
    """A decoder with rotary positions, RMS norms, gated feed-forward layers and no biases.

    `feed_forward` None: 8/3 of the width, rounded up to a multiple of 32, so that a layer has as many parameters
    as one of GPT-2. `key_value_heads` None: as many as `heads`.
    """

    layers: int
    width: int
    heads: int
    max_length: int
    key_value_heads: int | None = None
    feed_forward: int | None = None
    tied_embeddings: bool = True
    initial_std: float = 0.02


def new_language_model(
    shape: ModelShape, tokenizer: Any, *, seed: int, dtype: torch.dtype, device: torch.device | str
) -> LanguageModel:
    """A random model for this tokenizer; the weights depend on `shape`, the vocabulary's size and `seed` alone.

    They are drawn in float32 on the CPU, each tensor from a stream of its own: normal with `initial_std`, in
    layers that write into the residual stream divided by sqrt(2 x layers) (GPT-2); norms begin at 1.
    The global random generators are left as they are.
    """
    from transformers import AutoModelForCausalLM
    from transformers.models.llama import LlamaConfig

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.feed_forward or default_feed_forward(shape.width),
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads or shape.heads,
        max_position_embeddings=shape.max_length,
        tie_word_embeddings=shape.tied_embeddings,
        initializer_range=shape.initial_std,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    make: Any = AutoModelForCausalLM.from_config
    with torch.random.fork_rng(devices=[]):
        model = make(config, dtype=torch.float32)
    cast_parameters(model, dtype)
    _initialise(model, shape, seed)
    return LanguageModel(model.to(device).eval(), tokenizer, name="the new model")


def default_feed_forward(width: int) -> int:
    """8/3 of the width, rounded up to a multiple of 32."""
    return 32 * math.ceil(8 * width / 3 / 32)


def num_parameters(language_model: LanguageModel) -> int:
    """Parameters of the model, tied ones once."""
    return sum(parameter.numel() for parameter in language_model.model.parameters())


@torch.no_grad()
def _initialise(model: Any, shape: ModelShape, seed: int) -> None:
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            parameter.fill_(1.0)  # the norms: there are no biases
            continue
        std = shape.initial_std
        if name.endswith(RESIDUAL_OUTPUTS):
            std /= math.sqrt(2 * shape.layers)
        parameter.copy_(_normal(parameter.shape, std, f"{seed}/{name}"))


def _normal(shape: torch.Size, std: float, name: str) -> Tensor:
    digest = hashlib.sha256(f"initial weights/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    return torch.empty(shape).normal_(0.0, std, generator=generator)
