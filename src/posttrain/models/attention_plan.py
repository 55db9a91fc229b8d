"""The one place where attention of ours meets models of transformers: who sees whom is a plan that goes along.

A decoder is called on the tokens of many sequences as one long row, each with its own position, and attention is
left to an `AttentionPlan`. Linear layers and norms then see no padding and no token twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from jaxtyping import Float, Int
from torch import Tensor
from transformers import AttentionInterface

from posttrain.errors import ModelError

_NAME = "posttrain"


class AttentionPlan(Protocol):
    """Which tokens of a packed row attend to which, and how that is computed."""

    longest: int
    """Positions that any token can look back over, itself included: a sliding window of so many cuts nothing."""

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "tokens heads width"],
        key: Float[Tensor, "tokens key_heads width"],
        value: Float[Tensor, "tokens key_heads value_width"],
        scale: float,
    ) -> Float[Tensor, "tokens heads value_width"]:
        """What every token's heads see, in the dtype of `value`; consecutive heads share a key head."""
        ...


class UnknownAttentionError(ModelError):
    """Attention of a kind that plans do not compute: soft caps, sinks, biases, a window that cuts."""


def planned_hidden_states(
    trunk: Any, token_ids: Int[Tensor, " tokens"], positions: Int[Tensor, " tokens"], plan: AttentionPlan
) -> Float[Tensor, "tokens width"]:
    """Last hidden states (after the final norm) of a packed row of tokens under the plan.

    Raises UnknownAttentionError for attention that a plan cannot stand for.
    """
    with planned_attention(trunk):
        hidden: Tensor = trunk(
            input_ids=token_ids[None],
            position_ids=positions[None],
            use_cache=False,
            attention_plan=plan,
        ).last_hidden_state
    return hidden[0]


def planned_attention(trunk: Any) -> contextlib.AbstractContextManager[None]:
    """Inside, the model's attention is that of the plan it is called with."""
    return _attention(trunk.config, _NAME)


def same_attention(trunk: Any) -> tuple[contextlib.AbstractContextManager[None], ...]:
    """Contexts of a checkpointed layer's first pass and of its second one, which comes when the plan has left.

    What `torch.utils.checkpoint` takes as `context_fn`, called at the first pass.
    """
    return contextlib.nullcontext(), _attention(trunk.config, trunk.config._attn_implementation)


@contextlib.contextmanager
def _attention(config: Any, name: str) -> Iterator[None]:
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    attention_plan: AttentionPlan | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls; `query` is `[1, heads, tokens, width]`."""
    if attention_plan is None:
        raise UnknownAttentionError("this model does not hand the attention plan on to its attention layers")
    odd = [name for name in ("softcap", "s_aux", "position_bias") if others.get(name) is not None]
    if sliding_window is not None and sliding_window < attention_plan.longest:
        odd.append("sliding_window")
    if odd or dropout or len(query) != 1 or attention_mask is not None:
        raise UnknownAttentionError(
            f"attention with {', '.join(odd) or 'a mask, dropout or rows'} has no plan"
        )
    out = attention_plan.attend(
        module.layer_idx,
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        query.shape[-1] ** -0.5 if scaling is None else scaling,
    )
    return out[None], None


AttentionInterface.register(_NAME, _attend)
