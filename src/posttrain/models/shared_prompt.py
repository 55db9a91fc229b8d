"""Hidden states of a group's responses with their prompt computed once, gradients included.

A prompt goes through the model by itself and leaves its keys and values; the responses go through together and
attend to them. Positions and masks are as if each response stood behind its own copy, so the numbers are the same,
and the gradients of all responses meet in the one prompt.
"""

from __future__ import annotations

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


def shared_prompt_hidden_states(causal_lm: Any, tokens: TokenBatch) -> Float[Tensor, "rows time width"]:
    """Last hidden states (after the final norm) that predict each response token; arbitrary behind a row's end."""
    decoder, device = causal_lm.base_model, tokens.token_ids.device
    groups = tokens.prompt_groups
    first_rows = sorted(set(groups))
    of_prompt = torch.tensor([first_rows.index(group) for group in groups], device=device)
    first = torch.tensor(first_rows, device=device)
    lengths = tokens.prompt_lengths[first]
    longest = int(lengths.max())

    # Padded on the left: a response's first token is then next to its prompt's last one in the cache, which
    # models with a sliding window count in.
    columns = torch.arange(longest, device=device)
    offset = longest - lengths
    prompt_mask = columns[None, :] >= offset[:, None]
    positions = (columns[None, :] - offset[:, None]).clamp(min=0)
    prompt_ids = tokens.token_ids[first].gather(1, positions) * prompt_mask
    cache = DynamicCache(config=causal_lm.config)
    prompt_hidden = decoder(
        input_ids=prompt_ids,
        attention_mask=prompt_mask.long(),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    first_hidden = prompt_hidden[:, -1:].index_select(0, of_prompt)
    time = tokens.max_response_length
    if time <= 1:
        return first_hidden[:, :time]

    for layer in cache.layers:
        layer.keys = layer.keys.index_select(0, of_prompt)
        layer.values = layer.values.index_select(0, of_prompt)
    steps = torch.arange(time - 1, device=device)
    response_mask = steps[None, :] < tokens.response_lengths[:, None]
    response_hidden = decoder(
        input_ids=tokens.response_ids[:, :-1],
        attention_mask=torch.cat([prompt_mask[of_prompt], response_mask], dim=1).long(),
        position_ids=tokens.prompt_lengths[:, None] + steps[None, :],
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return torch.cat([first_hidden, response_hidden], dim=1)
