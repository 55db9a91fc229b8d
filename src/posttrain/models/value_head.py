"""A critic without a trunk of its own: one linear layer on the policy's last hidden states."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from posttrain.batches import TokenBatch
from posttrain.errors import ModelError
from posttrain.models.decoder import evaluating
from posttrain.models.language_model import LanguageModel, ResponseStatistics

VALUE_HEAD_FILE = "value_head.safetensors"
VALUE_HEAD = "value_head"
"""Names of the head's parameters start so in `PolicyWithValueHead.model`."""


class PolicyWithValueHead:
    """A policy and a value head on it, as one model for a learner: both are had from one pass.

    The head is float32 and starts from zeros: it expects nothing yet. The policy is the given object, still
    to be used, sampled from and saved as a plain language model.
    """

    def __init__(self, policy: LanguageModel) -> None:
        self.policy = policy
        width = policy.head.weight.shape[1]
        self.head = nn.Linear(width, 1, bias=False, device=policy.device)
        nn.init.zeros_(self.head.weight)
        self.model = nn.ModuleDict({"policy": policy.model, VALUE_HEAD: self.head})
        self.model.train(policy.model.training)

    @property
    def width(self) -> int:
        """Numbers in a hidden state, which the head takes."""
        return self.head.in_features

    def statistics_and_values(
        self, tokens: TokenBatch, **asked_for: object
    ) -> tuple[ResponseStatistics, Float[Tensor, "rows time"]]:
        """`LanguageModel.token_statistics` and the value of the state before each token, from one forward pass."""
        hidden = self.policy.hidden_states(tokens)
        statistics = self.policy.token_statistics(tokens, hidden=hidden, **asked_for)  # type: ignore[arg-type]
        return statistics, self._values(hidden)

    def state_values(self, tokens: TokenBatch) -> Float[Tensor, "rows time"]:
        """The value of the state before each response token; float32, gradients flow; arbitrary behind a row's end."""
        return self._values(self.policy.hidden_states(tokens))

    def values_without_graph(self, tokens: TokenBatch) -> Float[Tensor, "rows time"]:
        """`state_values` in eval mode, without a graph."""
        with torch.no_grad(), evaluating(self.policy.model):
            return self.state_values(tokens)

    def logprobs(self, tokens: TokenBatch, temperature: float) -> Float[Tensor, "rows time"]:
        """The policy's `logprobs`."""
        return self.policy.logprobs(tokens, temperature)

    def memory_probe(self, tokens: TokenBatch) -> Tensor:
        """A number whose graph holds what training on these rows would hold: micro-batches are measured on it."""
        statistics, values = self.statistics_and_values(tokens, temperature=1.0, entropy=True)
        return statistics.logprobs.sum() + values.sum()

    def save_head(self, folder: Path) -> None:
        """Puts the head beside a saved policy, as `value_head.safetensors`, which its loader does not look at."""
        save_file({"weight": self.head.weight.detach().cpu().contiguous()}, folder / VALUE_HEAD_FILE)

    def load_head(self, folder: Path) -> None:
        """Takes over a head that `save_head` wrote. ModelError when there is none or it has another width."""
        check_saved_head(folder, policy=self.policy.name, width=self.width)
        with torch.no_grad():
            self.head.weight.copy_(load_file(folder / VALUE_HEAD_FILE)["weight"])

    def _values(self, hidden: Tensor) -> Tensor:
        values: Tensor = self.head(hidden.to(self.head.weight.dtype)).squeeze(-1)
        return values


def check_saved_head(folder: Path, *, policy: str, width: int | None) -> None:
    """ModelError when the folder holds no value head for a policy with hidden states of this width (None: of any)."""
    path = folder / VALUE_HEAD_FILE
    if not path.is_file():
        raise ModelError(
            f"{folder} has no {VALUE_HEAD_FILE}, so no value head can start from it. Name the model/ folder of a "
            'ppo run with critic.kind = "head", or set critic.start = "policy".'
        )
    try:
        with safe_open(path, framework="pt") as file:
            shape = file.get_slice("weight").get_shape() if "weight" in file.keys() else None  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}. Name another folder.") from error
    if shape != [1, shape[-1] if shape and width is None else width]:
        found = f"a head of width {shape[-1]}" if shape else "no head"
        raise ModelError(
            f"{path} holds {found}, and the hidden states of {policy} have width {width}: it was trained on another "
            'policy. Set critic.start = "policy", or name the folder of this policy.'
        )
