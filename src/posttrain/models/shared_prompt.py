"""Hidden states of a group's responses with their prompt computed once, gradients included.

A prompt goes through the model by itself and leaves its keys and values; the responses go through together and
attend to them. Positions and masks are as if each response stood behind its own copy, so the numbers are the same,
and the gradients of all responses meet in the one prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from posttrain.batches import TokenBatch

WORTH_IT = 0.8
"""Share of the plain path's tokens above which two passes of the model cost more than they save."""


def is_worth_sharing(tokens: TokenBatch) -> bool:
    """Whether enough rows have a prompt in common."""
    if len(tokens) < 2:
        return False
    first_rows = len(set(tokens.prompt_groups))
    shared = first_rows * int(tokens.prompt_lengths.max()) + len(tokens) * tokens.max_response_length
    return shared <= WORTH_IT * tokens.token_ids.numel()


def shared_prompt_hidden_states(trunk: Any, tokens: TokenBatch) -> Float[Tensor, "rows time width"]:
    """Last hidden states (after the final norm) that predict each response token; arbitrary behind a row's end."""
    device = tokens.token_ids.device
    groups = tokens.prompt_groups
    first_rows = sorted(set(groups))
    of_prompt = torch.tensor([first_rows.index(group) for group in groups], device=device)
    first = torch.tensor(first_rows, device=device)
    lengths = tokens.prompt_lengths[first]
    longest = int(lengths.max())

    columns = torch.arange(longest, device=device)
    # Without the config: sliding layers would drop keys that responses of other lengths still see.
    cache = DynamicCache()
    prompt_hidden: Tensor = trunk(
        input_ids=tokens.token_ids[first, :longest] * (columns[None, :] < lengths[:, None]),
        attention_mask=(columns[None, :] < lengths[:, None]).long(),
        position_ids=columns[None, :].expand(len(first), longest),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    last = (lengths - 1)[:, None, None].expand(-1, 1, prompt_hidden.shape[-1])
    first_hidden = prompt_hidden.gather(1, last).index_select(0, of_prompt)
    time = tokens.max_response_length
    if time <= 1:
        return first_hidden[:, :time]

    # The padding moves to the left, so that a response stands right behind its prompt: models with a sliding
    # window count places in the cache. (Padded on the left from the start, a pad would see nothing: NaN.)
    offset = (longest - lengths)[:, None]
    moved = (columns[None, :] - offset).clamp(min=0)
    prompt_mask = columns[None, :] >= offset
    layers: Any = cache.layers
    for layer in layers:
        layer.keys = _moved(layer.keys, moved).index_select(0, of_prompt)
        layer.values = _moved(layer.values, moved).index_select(0, of_prompt)
    steps = torch.arange(time - 1, device=device)
    response_mask = steps[None, :] < tokens.response_lengths[:, None]
    response_hidden: Tensor = trunk(
        input_ids=tokens.response_ids[:, :-1],
        attention_mask=torch.cat([prompt_mask[of_prompt], response_mask], dim=1).long(),
        # Behind a short response places go on; a model with learned positions has none beyond the longest row.
        position_ids=(tokens.prompt_lengths[:, None] + steps[None, :]).clamp(
            max=tokens.token_ids.shape[1] - 1
        ),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return torch.cat([first_hidden, response_hidden], dim=1)


def _moved(states: Tensor, columns: Tensor) -> Tensor:
    """`[rows, heads, places, width]` with the places of each row taken from `columns [rows, places]`."""
    index = columns[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3])
    return states.gather(2, index)


def shares_prompts_exactly(trunk: Any, plain: Callable[[TokenBatch], Tensor]) -> bool:
    """Whether both ways give the same numbers on a small batch; False for models whose cache works otherwise."""
    weight = next(trunk.parameters())
    prompts, responses = ([1, 2, 3], [1, 2, 3], [4, 5]), ([6, 7], [5], [3, 2])
    lengths = torch.tensor([len(response) for response in responses])
    rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    tokens = TokenBatch(
        token_ids=torch.tensor([row + [0] * (5 - len(row)) for row in rows]),
        prompt_lengths=torch.tensor([len(prompt) for prompt in prompts]),
        response_lengths=lengths,
        response_mask=torch.arange(2)[None, :] < lengths[:, None],
    ).to(weight.device)
    try:
        shared = shared_prompt_hidden_states(trunk, tokens)[tokens.response_mask].float()
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        # Recurrent states, caches of another kind: the plain path serves every model.
        return False
    expected = plain(tokens)[tokens.response_mask].float()
    # Rounding differs with the shape of a product; a wrong position or mask moves hidden states by far more.
    tolerance = 0.1 if weight.dtype in (torch.bfloat16, torch.float16) else 1e-3
    return bool((shared - expected).norm() <= tolerance * expected.norm())
