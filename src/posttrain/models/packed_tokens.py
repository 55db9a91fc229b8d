"""Hidden states of a batch as one row of tokens: no padding is computed, and a group's prompt only once.

Positions are as if each response stood behind its own copy of the prompt, and a `BlockPlan` lets it see that prompt
and itself, so the numbers are those of rows computed alone, gradients included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from posttrain.batches import PackedBatch, TokenBatch
from posttrain.models.attention_plan import planned_hidden_states
from posttrain.models.block_attention import BlockPlan
from posttrain.models.packed_documents import unpacked_hidden_states


def group_hidden_states(trunk: Any, tokens: TokenBatch) -> Float[Tensor, "rows time width"]:
    """Last hidden states (after the final norm) that predict each response token; arbitrary behind a row's end."""
    # A response's last token predicts nothing.
    own = (tokens.response_lengths - 1).clamp(min=0)
    of_group: dict[int, list[int]] = {}
    for row, first in enumerate(tokens.prompt_groups):
        of_group.setdefault(first, []).append(row)
    prompt_lengths, own_lengths = tokens.prompt_lengths.tolist(), own.tolist()
    prompts, responses, parents = [], [], []
    columns = torch.arange(tokens.token_ids.shape[1], device=tokens.token_ids.device)
    cells: list[Tensor] = []
    behind: list[tuple[int, Tensor]] = []
    start = 0
    prompt_ends, own_starts = [0] * len(tokens), [0] * len(tokens)
    for number, (first, rows) in enumerate(of_group.items()):
        # One response alone: prompt and response are one block.
        length = prompt_lengths[first] + (own_lengths[first] if len(rows) == 1 else 0)
        cells.append(first * len(columns) + columns[:length])
        for row in rows:
            prompt_ends[row] = start + prompt_lengths[row] - 1
        if len(rows) == 1:
            own_starts[first] = start + prompt_lengths[first]
        else:
            for row in rows:
                behind.append((row, columns[prompt_lengths[row] : prompt_lengths[row] + own_lengths[row]]))
                responses.append(own_lengths[row])
                parents.append(number)
        prompts.append(length)
        start += length
    for row, places in behind:
        own_starts[row] = start
        cells.append(row * len(columns) + places)
        start += len(places)
    index = torch.cat(cells)
    hidden = planned_hidden_states(
        trunk,
        tokens.token_ids.flatten()[index],
        index % len(columns),
        BlockPlan(prompts, responses, parents),
    )
    # Response token 0 is predicted by the prompt's last token, token t by token t - 1.
    steps = torch.arange(tokens.max_response_length, device=index.device)
    places = torch.tensor(own_starts)[:, None] + (steps[None, :] - 1).clamp(max=own[:, None] - 1)
    places = torch.where(steps[None, :] == 0, torch.tensor(prompt_ends)[:, None], places)
    chosen = hidden.index_select(0, places.clamp(min=0).flatten())
    return chosen.view(*places.shape, hidden.shape[-1])


def document_hidden_states(trunk: Any, packed: PackedBatch) -> Float[Tensor, "rows length width"]:
    """Of every token, each document as if it were alone; zeros behind a row's end."""
    columns = torch.arange(packed.token_ids.shape[1], device=packed.token_ids.device)
    index = (columns[None, :] < packed.lengths[:, None]).flatten().nonzero()[:, 0]
    positions = packed.position_ids.flatten()[index]
    starts = (positions == 0).nonzero()[:, 0]
    ends = torch.cat([starts[1:], starts.new_tensor([len(index)])])
    hidden = planned_hidden_states(
        trunk, packed.token_ids.flatten()[index], positions, BlockPlan((ends - starts).tolist())
    )
    shape = (*packed.token_ids.shape, hidden.shape[-1])
    cells = hidden.new_zeros(shape[0] * shape[1], shape[2])
    return cells.index_copy(0, index, hidden).view(shape)


def packs_tokens_exactly(trunk: Any, plain: Callable[[TokenBatch], Tensor]) -> bool:
    """Whether a small batch gives the same numbers so; False where a model's attention knows no plan."""
    weight = next(trunk.parameters())
    if weight.device.type != "cpu":
        return False  # the kernel of `block_attention` is the CPU's
    prompts, responses = ([1, 2, 3], [1, 2, 3], [4, 5]), ([6, 7], [5], [3, 2])
    lengths = torch.tensor([len(response) for response in responses])
    rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    tokens = TokenBatch(
        token_ids=torch.tensor([row + [0] * (5 - len(row)) for row in rows]),
        prompt_lengths=torch.tensor([len(prompt) for prompt in prompts]),
        response_lengths=lengths,
        response_mask=torch.arange(2)[None, :] < lengths[:, None],
    )
    documents = [[([1, 2, 3], [False] * 3), ([4, 5], [False] * 2)], [([6, 7, 1, 2], [False] * 4)]]
    packed = PackedBatch.from_documents(documents)
    in_row = torch.arange(packed.token_ids.shape[1])[None, :] < packed.lengths[:, None]
    try:
        found = [
            group_hidden_states(trunk, tokens)[tokens.response_mask].float(),
            document_hidden_states(trunk, packed)[in_row].float(),
        ]
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return False  # positions of its own, recurrent states, unknown attention: other paths serve it
    expected = [
        plain(tokens)[tokens.response_mask].float(),
        unpacked_hidden_states(trunk, packed)[in_row].float(),
    ]
    # Rounding differs with the shape of a product; a wrong position or block moves hidden states by far more.
    tolerance = 0.1 if weight.dtype in (torch.bfloat16, torch.float16) else 1e-3
    return all(
        bool((ours - other).norm() <= tolerance * other.norm())
        for ours, other in zip(found, expected, strict=True)
    )
