"""From last hidden states to logits, for any causal language model, and how a model does it is found out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posttrain.errors import ModelError

# A soft cap bends large logits only, so the probe also looks at hidden states this many times as large.
_PROBE_SCALES = (1.0, 50.0)


@dataclass(frozen=True)
class OutputHead:
    """What turns hidden states into logits: `hidden @ weight.T + bias`, unless `transform` says otherwise.

    `transform` is None for nearly every architecture. Where a model caps or scales its logits (Gemma 2,
    Cohere, Granite) it is the function from hidden states to logits, and `weight` and `bias` alone are not
    enough.
    """

    weight: Float[Tensor, "vocabulary width"]
    bias: Float[Tensor, " vocabulary"] | None = None
    transform: Callable[[Tensor], Tensor] | None = None

    def logits(self, hidden: Float[Tensor, "... width"]) -> Float[Tensor, "... vocabulary"]:
        """Logits in the dtype of the model, over its whole output vocabulary."""
        if self.transform is not None:
            return self.transform(hidden)
        return nn.functional.linear(hidden, self.weight, self.bias)


class _GivenHidden(nn.Module):
    """Stands where the decoder was and answers with the hidden states that it is handed."""

    def forward(self, *args: Any, inputs_embeds: Tensor, **kwargs: Any) -> _GivenOutput:
        return _GivenOutput(inputs_embeds)


class _GivenOutput:
    """A decoder's output with hidden states only; any other field reads as None."""

    def __init__(self, last_hidden_state: Tensor) -> None:
        self.last_hidden_state = last_hidden_state

    def __getitem__(self, index: int) -> Tensor:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        return None


def head_transform(causal_lm: Any) -> Callable[[Tensor], Tensor]:
    """The model's own way from hidden states to logits: its forward, with the decoder left out.

    The weights are shared with `causal_lm`; the model itself is not changed.
    """
    shell = copy.copy(causal_lm)
    shell._modules = dict(causal_lm._modules)
    shell._modules[causal_lm.base_model_prefix] = _GivenHidden()

    def transform(hidden: Tensor) -> Tensor:
        # Models expect [rows, time, width] and may slice along time.
        flat = hidden.reshape(1, -1, hidden.shape[-1])
        logits: Tensor = shell(inputs_embeds=flat, use_cache=False).logits
        return logits.reshape(*hidden.shape[:-1], logits.shape[-1])

    return transform


def find_head_transform(causal_lm: Any, name: str) -> Callable[[Tensor], Tensor] | None:
    """None when the logits are a plain linear map of the hidden states, else the function that gives them.

    Found by a forward pass over four tokens, which also shows whether the model looks ahead.
    Raises ModelError for a model that is not causal, or whose logits cannot be had from its hidden states.
    """
    head = causal_lm.get_output_embeddings()
    decoder = causal_lm.base_model
    if head is None or decoder is causal_lm:
        raise ModelError(
            f"{name} ({type(causal_lm).__name__}) has no separate decoder and language model head. "
            "Use a causal language model, one that AutoModelForCausalLM opens."
        )
    device = head.weight.device
    ids = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 0]], device=device) % head.weight.shape[0]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    with torch.no_grad():
        logits = causal_lm(**inputs).logits
        hidden = decoder(**inputs).last_hidden_state
    if not _same(hidden[0, :3], hidden[1, :3]):
        raise ModelError(
            f"{name} ({type(causal_lm).__name__}) is not a causal language model: what it says of a token "
            "depends on the tokens behind it. Use a decoder such as Llama, Qwen or GPT-2."
        )
    transform = head_transform(causal_lm)
    if not _reproduces(transform, hidden, logits):
        raise ModelError(
            f"{name} ({type(causal_lm).__name__}) computes its logits from more than its last hidden states, "
            "which posttrain cannot follow. Use another architecture, or report this one."
        )
    return None if _is_linear(head, transform, hidden) else transform


def _reproduces(transform: Callable[[Tensor], Tensor], hidden: Tensor, logits: Tensor) -> bool:
    try:
        with torch.no_grad():
            return _same(transform(hidden), logits)
    except Exception:  # whatever a model's forward may raise when its decoder is not its own
        return False


@torch.no_grad()
def _is_linear(head: Any, transform: Callable[[Tensor], Tensor], hidden: Tensor) -> bool:
    if type(head) is not nn.Linear:
        return False
    scaled = [hidden * scale for scale in _PROBE_SCALES]
    return all(_same(head(x), transform(x)) for x in scaled)


def _same(a: Tensor, b: Tensor) -> bool:
    tolerance = 1e-5 if a.dtype in (torch.float32, torch.float64) else 2e-2
    return bool((a - b).abs().max() <= tolerance * b.abs().max().clamp(min=1e-30))
