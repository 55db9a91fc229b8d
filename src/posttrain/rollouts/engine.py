"""The seam between recipes and whatever generates text: two methods, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from posttrain.types import Prompt, Rollout, Sampling

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int, int], None]
"""Called now and then with (responses finished, responses asked for, tokens generated so far)."""


class RolloutEngine(Protocol):
    """Turns prompts into responses with one version of the policy's weights."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        responses_per_prompt: int,
        *,
        progress: Progress | None = None,
    ) -> list[Rollout]:
        """`responses_per_prompt` rollouts for each prompt: prompt 0 sample 0, prompt 0 sample 1, ...

        A response depends on the weights, its prompt's ids, the sampling and its sample index only: not on
        the other prompts of the call, nor on how many samples were asked for.
        Prompts must carry `token_ids`; ValueError otherwise.
        """
        ...

    def load_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]], policy_version: int) -> None:
        """Take over these weights, all of them, and stamp later rollouts with `policy_version`."""
        ...
