"""Ragged random batches and learners for the tests of this folder."""

from __future__ import annotations

import torch
from tests.tiny_models import tiny_language_model

from posttrain.batches import PolicyBatch, TokenBatch
from posttrain.training import Learner, LearningRateSchedule, OptimizerSettings

LENGTHS = [(3, 7), (1, 2), (5, 11), (2, 4), (4, 1), (1, 9), (6, 5), (2, 8)]


def made_tokens(seed: int = 0, lengths: list[tuple[int, int]] | None = None) -> TokenBatch:
    """Rows of random ids with (prompt, response) lengths, padded with id 0."""
    generator = torch.Generator().manual_seed(seed)
    lengths = LENGTHS if lengths is None else lengths
    prompts, responses = (torch.tensor(column) for column in zip(*lengths, strict=True))
    width, time = int((prompts + responses).max()), int(responses.max())
    ids = torch.randint(5, 200, (len(lengths), width), generator=generator)
    ids = torch.where(torch.arange(width)[None] < (prompts + responses)[:, None], ids, 0)
    return TokenBatch(ids, prompts, responses, torch.arange(time)[None] < responses[:, None])


def made_batch(tokens: TokenBatch, old: torch.Tensor, *, seed: int = 1, drift: float = 0.3) -> PolicyBatch:
    """Advantages per row; `drift` moves old_logprobs away, so that ratios differ from 1."""
    generator = torch.Generator().manual_seed(seed)
    advantages = (
        torch.randn(len(tokens), 1, generator=generator, dtype=old.dtype).expand(old.shape).contiguous()
    )
    noise = drift * torch.randn(old.shape, generator=generator, dtype=old.dtype)
    return PolicyBatch(
        tokens=tokens,
        advantages=advantages,
        old_logprobs=old + noise,
        rollout_logprobs=old,
        reference_logprobs=old - 0.5 * noise,
    )


def made_learner(
    kind: str = "llama",
    *,
    dtype: torch.dtype = torch.float32,
    lr: float = 1e-3,
    microbatch_tokens: int | str = 64,
    schedule: LearningRateSchedule | None = None,
    max_grad_norm: float | None = 1.0,
    weight_decay: float = 0.0,
    collectives=None,
    **model_settings,
) -> Learner:
    settings = OptimizerSettings(
        schedule or LearningRateSchedule(lr), max_grad_norm=max_grad_norm, weight_decay=weight_decay
    )
    model = tiny_language_model(kind, dtype=dtype, **model_settings)
    return Learner(model, settings, collectives=collectives, microbatch_tokens=microbatch_tokens)


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in learner.language_model.model.named_parameters()}
