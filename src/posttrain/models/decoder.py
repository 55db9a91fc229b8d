"""The trunk of a transformer: token ids in, last hidden states out, whatever stands on top of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posttrain.batches import PackedBatch, TokenBatch
from posttrain.models.attention_plan import UnknownAttentionError
from posttrain.models.freed_memory import keep_freed_memory
from posttrain.models.packed_documents import (
    packed_hidden_states,
    packs_exactly,
    unpacked_hidden_states,
)
from posttrain.models.packed_tokens import (
    document_hidden_states,
    group_hidden_states,
    packs_tokens_exactly,
)
from posttrain.models.shared_prompt import (
    is_worth_sharing,
    shared_prompt_hidden_states,
    shares_prompts_exactly,
)


class Decoder:
    """Hidden states after the final norm, by the fastest way that gives the same numbers as the plain one.

    `trunk` is a Hugging Face model without its head (`model.base_model`). Which ways it takes is found out by trying
    on a few tokens at the first use: all tokens packed into one row (on a CPU), a group's prompt from the cache of
    transformers, documents packed into rows by its masks; or every row by itself, which serves every model.
    """

    def __init__(self, trunk: Any) -> None:
        self.trunk = trunk
        if next(trunk.parameters()).device.type == "cpu":
            keep_freed_memory()
        self._packs_tokens: bool | None = None
        self._shares_prompts: bool | None = None
        self._packs_documents: bool | None = None

    @property
    def packs_tokens(self) -> bool:
        """Whether batches go through as one row without padding, every prompt once."""
        if self._packs_tokens is None:
            with torch.no_grad(), evaluating(self.trunk):
                self._packs_tokens = packs_tokens_exactly(self.trunk, self._plain_hidden_states)
        return self._packs_tokens

    def hidden_states(self, tokens: TokenBatch) -> Float[Tensor, "rows time width"]:
        """Where each response token is predicted, in the model's dtype; arbitrary behind a row's end."""
        if self.packs_tokens:
            with contextlib.suppress(UnknownAttentionError):  # a sliding window that cuts rows of this length
                return group_hidden_states(self.trunk, tokens)
        if is_worth_sharing(tokens) and self._can_share_prompts():
            return shared_prompt_hidden_states(self.trunk, tokens)
        return self._plain_hidden_states(tokens)

    def packed_hidden_states(self, packed: PackedBatch) -> Float[Tensor, "rows length width"]:
        """Of every token of the rows, each document as if it were alone; arbitrary behind a row's end."""
        if self.packs_tokens:
            with contextlib.suppress(UnknownAttentionError):
                return document_hidden_states(self.trunk, packed)
        if self._can_pack_documents():
            return packed_hidden_states(self.trunk, packed)
        return unpacked_hidden_states(self.trunk, packed)

    def _plain_hidden_states(self, tokens: TokenBatch) -> Tensor:
        """Every row by itself, padded on the right."""
        length = tokens.token_ids.shape[1]
        steps = torch.arange(length, device=tokens.token_ids.device)
        hidden: Tensor = self.trunk(
            input_ids=tokens.token_ids,
            attention_mask=(steps[None, :] < tokens.lengths[:, None]).long(),
            position_ids=steps[None, :].expand(len(tokens), length),
            use_cache=False,
        ).last_hidden_state
        positions = tokens.predicting_positions[:, :, None].expand(-1, -1, hidden.shape[-1])
        return hidden.gather(1, positions)

    def _can_share_prompts(self) -> bool:
        if any(getattr(module, "gradient_checkpointing", False) for module in self.trunk.modules()):
            return False  # transformers recomputes without the cache
        if self._shares_prompts is None:
            with torch.no_grad(), evaluating(self.trunk):
                self._shares_prompts = shares_prompts_exactly(self.trunk, self._plain_hidden_states)
        return self._shares_prompts

    def _can_pack_documents(self) -> bool:
        if self._packs_documents is None:
            with torch.no_grad(), evaluating(self.trunk):
                self._packs_documents = packs_exactly(self.trunk)
        return self._packs_documents


def switch_off_dropout(model: nn.Module) -> None:
    """Sets every dropout probability in the model to 0: of modules, and of attention that reads a number."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside, the mode from before afterwards, also after an exception."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
