"""Log-probability, entropy and exact KL from hidden states, never holding [tokens, vocabulary].

The LM head is applied to a chunk of tokens at a time and its logits are dropped again; backward makes them
anew.
"""

from typing import Literal, NamedTuple

from torch import Tensor

from posttrain.algorithms.head_chunks import HeadStatistics
from posttrain.algorithms.head_statistics import ChunkPlan, Head
from posttrain.algorithms.inputs import check_same_shape, check_temperature

CHUNK_ELEMENTS = 2**25  # logits held at once by default: 128 MiB in float32
TILE_ELEMENTS = 2**19  # logits looked at together on a CPU: 2 MiB in float32, which stay in its cache


class ReferenceHead(NamedTuple):
    """The reference's hidden states `[N, H']`, LM head `[V, H']`, bias `[V]`; the direction of the KL."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None
    direction: Literal["forward", "reverse", "both"] = "reverse"


class TokenStatistics(NamedTuple):
    """Per token, `[N]` in float32 (float64 for float64), in nats; None where it was not asked for."""

    logprobs: Tensor
    entropy: Tensor | None
    forward_kl: Tensor | None
    reverse_kl: Tensor | None


def token_statistics_from_hidden(
    hidden: Tensor,
    head_weight: Tensor,
    token_ids: Tensor,
    *,
    head_bias: Tensor | None = None,
    temperature: float = 1.0,
    with_entropy: bool = False,
    reference: ReferenceHead | None = None,
    chunk_size: int | None = None,
) -> TokenStatistics:
    """What `token_logprobs`, `entropy` and `exact_kl` say of the logits `hidden @ head_weight.T + head_bias`.

    `hidden [..., H]`, `head_weight [V, H]`, `head_bias [V]`, `token_ids [...]`; results have the shape of
    `token_ids`. The matrix product runs in the dtype of `hidden` (the weights are cast to it), everything
    after it in float32 at least, like `token_logprobs` of half-precision logits. `temperature` divides the
    policy's and the reference's logits. Gradients reach `hidden`, `head_weight` and `head_bias`, those that
    require one; none reaches the reference. Pass counted tokens only: rows cost the same whether they count
    or not. At most `chunk_size` rows of logits exist at a time (by default about 2^25 numbers). The weight's
    gradient is summed over chunks in float32 at least.
    Raises ValueError for shapes that do not fit, a chunk below 1, or a temperature that is not positive.
    """
    check_temperature(temperature)
    check_same_shape(token_ids=token_ids, hidden_rows=hidden[..., 0])
    if hidden.shape[-1] != head_weight.shape[-1]:
        raise ValueError(
            f"hidden {list(hidden.shape)} and head_weight {list(head_weight.shape)} differ in width"
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1 token, got {chunk_size}; None chooses one")
    vocabulary = head_weight.shape[0]
    rows = chunk_size or max(1, CHUNK_ELEMENTS // max(vocabulary, 1))
    tile_rows = max(1, TILE_ELEMENTS // max(vocabulary, 1)) if hidden.device.type == "cpu" else rows
    plan = ChunkPlan(temperature, rows, tile_rows, with_entropy)
    if reference is not None:
        plan = _with_reference(plan, reference, token_ids, vocabulary)
    flat = hidden.reshape(-1, hidden.shape[-1])
    found = HeadStatistics.apply(flat, head_weight, head_bias, token_ids.reshape(-1), plan)
    logprobs, *optional = (None if x is None else x.view(token_ids.shape) for x in found)
    assert logprobs is not None
    return TokenStatistics(logprobs, *optional)


def _with_reference(
    plan: ChunkPlan, reference: ReferenceHead, token_ids: Tensor, vocabulary: int
) -> ChunkPlan:
    check_same_shape(token_ids=token_ids, reference_rows=reference.hidden[..., 0])
    if reference.weight.shape[0] != vocabulary:
        raise ValueError(f"vocabularies differ: policy {vocabulary}, reference {reference.weight.shape[0]}")
    if reference.direction not in ("forward", "reverse", "both"):
        raise ValueError(f"unknown direction {reference.direction!r}: choose 'forward', 'reverse' or 'both'")
    hidden = reference.hidden.detach().reshape(-1, reference.hidden.shape[-1])
    bias = None if reference.bias is None else reference.bias.detach()
    return plan._replace(
        forward_kl=reference.direction != "reverse",
        reverse_kl=reference.direction != "forward",
        reference_hidden=hidden,
        reference_head=Head.of(hidden, reference.weight.detach(), bias, plan.temperature),
    )
