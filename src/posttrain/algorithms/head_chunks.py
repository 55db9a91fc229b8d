"""The autograd function of `chunked_head`: one chunk of logits after another, forward and backward."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from posttrain.algorithms.head_statistics import ChunkPlan, Head, chunk_statistics, logit_gradient


class HeadStatistics(torch.autograd.Function):
    """(logprobs, entropy, forward KL, reverse KL) of `hidden [N, H]`; one chunk of logits exists at a time.

    With p the policy and q the reference, the gradients by the logit of v, before the temperature, are
    logprob: [v = token] - p_v; entropy H: -p_v (log p_v + H); KL(q || p): p_v - q_v;
    KL(p || q): p_v (log p_v - log q_v - KL).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, token_ids: Tensor, plan: ChunkPlan
    ) -> tuple[Tensor | None, ...]:
        """Go over the chunks; only the inputs and a few numbers per token are kept for backward."""
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        asked = (True, plan.entropy, plan.forward_kl, plan.reverse_kl)
        found = [hidden.new_empty(len(hidden), dtype=dtype) if wanted else None for wanted in asked]
        with torch.autocast(hidden.device.type, enabled=False):
            head = Head.of(hidden, weight, bias, plan.temperature)
            buffer, reference_buffer = plan.buffer(hidden, head), plan.reference_buffer()
            for chunk in plan.chunks(len(hidden)):
                logits = head.logits(hidden[chunk], buffer)
                reference_logits = plan.reference_logits(chunk, reference_buffer)
                for tile, rows in plan.tiles(chunk):
                    reference = plan.reference_logprobs(reference_logits, tile)
                    policy = head.logprobs(logits[tile])
                    parts = chunk_statistics(head, policy, token_ids[rows], reference, plan)
                    for column, part in zip(found, parts, strict=True):
                        if column is not None and part is not None:
                            column[rows] = part
        ctx.save_for_backward(hidden, weight, bias, token_ids, found[1], found[3])
        ctx.set_materialize_grads(False)
        ctx.plan = plan
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Make each chunk's logits again and push their gradient through the head, summed over chunks."""
        hidden, weight, bias, token_ids, entropy, reverse_kl = ctx.saved_tensors
        plan: ChunkPlan = ctx.plan
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        sum_dtype = torch.promote_types(weight.dtype, torch.float32)
        by_hidden = torch.empty_like(hidden) if wants_hidden else None
        by_weight = torch.zeros_like(weight, dtype=sum_dtype) if wants_weight else None
        by_bias = torch.zeros_like(bias, dtype=sum_dtype) if wants_bias else None
        with torch.autocast(hidden.device.type, enabled=False):
            head = Head.of(hidden, weight, bias, plan.temperature)
            buffer, reference_buffer = plan.buffer(hidden, head), plan.reference_buffer()
            for chunk in plan.chunks(len(hidden)):
                logits = head.logits(hidden[chunk], buffer)
                reference_logits = plan.reference_logits(chunk, reference_buffer)
                for tile, rows in plan.tiles(chunk):
                    here = [
                        None if x is None else x[rows].unsqueeze(-1) for x in (*grads, entropy, reverse_kl)
                    ]
                    reference = plan.reference_logprobs(reference_logits, tile)
                    policy, ids = head.logprobs(logits[tile]), token_ids[rows].unsqueeze(-1)
                    by_tile = logit_gradient(head, policy, ids, reference, here)
                    if by_bias is not None:
                        by_bias += by_tile.sum(dim=0)
                    logits[tile] = (
                        by_tile  # the tile's logits are done with: their gradient takes their place
                    )
                if by_hidden is not None:
                    torch.mm(logits, head.weight, out=by_hidden[chunk])
                if by_weight is not None:
                    _add_product(by_weight, logits.t(), hidden[chunk])
        return (
            by_hidden,
            None if by_weight is None else by_weight.to(weight.dtype),
            None if by_bias is None else by_bias.to(bias.dtype),
            None,
            None,
        )


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """`total += left @ right`, in place where the types agree, else summed in the wider type of `total`."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)
