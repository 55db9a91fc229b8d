"""The policy as it was at the start, held fixed, for the KL."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from posttrain.batches import TokenBatch
from posttrain.models.decoder import evaluating
from posttrain.models.language_model import LanguageModel
from posttrain.models.output_head import OutputHead


class FrozenReference:
    """A model that never changes and never gets gradients. Made by `of` or `of_other`.

    With a policy whose LoRA adapter still is zero, it is the policy with the adapter switched off: no second
    copy of the weights. With every other policy it is a copy, also when an adapter that was trained before is
    trained on: switched off, that would be the model from before its training, not the one at the start.
    """

    def __init__(self, language_model: LanguageModel, *, switches_adapter_off: bool) -> None:
        self._language_model = language_model
        self.switches_adapter_off = switches_adapter_off

    @classmethod
    def of(cls, policy: LanguageModel) -> FrozenReference:
        """The policy as it is now: call it before the first step and before a checkpoint is loaded."""
        if policy.has_adapter and _adapter_is_zero(policy):
            return cls(policy, switches_adapter_off=True)
        return cls.of_other(_frozen_copy(policy))

    @classmethod
    def of_other(cls, language_model: LanguageModel) -> FrozenReference:
        """Another model as it is, frozen where it stands: do not train it afterwards.

        Its vocabulary must be the policy's when the exact KL is asked for.
        """
        language_model.model.requires_grad_(False)
        language_model.model.eval()
        return cls(language_model, switches_adapter_off=False)

    @property
    def head(self) -> OutputHead:
        """What turns `hidden_states` into logits, without gradients."""
        head = self._language_model.head
        bias = None if head.bias is None else head.bias.detach()
        return OutputHead(head.weight.detach(), bias, head.transform)

    @property
    def num_parameters(self) -> int:
        """Parameters held beside the policy's: 0 where the reference is the policy with its adapter off."""
        if self.switches_adapter_off:
            return 0
        return sum(parameter.numel() for parameter in self._language_model.model.parameters())

    def hidden_states(self, tokens: TokenBatch) -> Float[Tensor, "rows time width"]:
        """Last hidden states where each response token is predicted; see `LanguageModel.hidden_states`."""
        with self._at_the_start():
            return self._language_model.hidden_states(tokens)

    def logprobs(self, tokens: TokenBatch, temperature: float) -> Float[Tensor, "rows time"]:
        """Logprobs of the response tokens in float32, 0 where the mask is False."""
        with self._at_the_start():
            return self._language_model.logprobs(tokens, temperature)

    @contextlib.contextmanager
    def _at_the_start(self) -> Iterator[None]:
        model = self._language_model.model
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(evaluating(model))
            if self.switches_adapter_off:
                stack.enter_context(model.disable_adapter())
            yield


def _adapter_is_zero(policy: LanguageModel) -> bool:
    outputs = [
        p for name, p in policy.model.named_parameters() if ".lora_B." in name or ".lora_embedding_B." in name
    ]
    return all(not bool(p.any()) for p in outputs)


def _frozen_copy(policy: LanguageModel) -> LanguageModel:
    model = copy.deepcopy(policy.model)
    # the adapter stays beside the weights: merged into bfloat16 ones it would be rounded, and the KL not 0
    return LanguageModel(model, policy.tokenizer, name=f"the reference of {policy.name}")
