"""From settings to the objects that recipes and commands work with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import transformers
from torch import nn

from posttrain.config.sections import ComputeSection, LoraSection, OptimizerSection, SamplingSection
from posttrain.errors import ConfigError
from posttrain.models.attention_plan import same_attention
from posttrain.models.language_model import LanguageModel
from posttrain.models.loading import load_language_model
from posttrain.models.lora import add_lora
from posttrain.training.optimizer import OptimizerSettings
from posttrain.training.schedule import LearningRateSchedule
from posttrain.types import Sampling


def load_policy(
    name: str, compute: ComputeSection, lora: LoraSection | None = None, *, seed: int = 0
) -> LanguageModel:
    """The model on its device in its compute dtype, with a new adapter (drawn by `seed`) if one is asked for."""
    hide_progress_bars()
    device = resolve_device(compute.device)
    policy = load_language_model(name, dtype=resolve_dtype(compute.dtype, device), device=device)
    if lora is not None:
        policy = add_lora(policy, lora.r, lora.alpha, lora.targets, seed=seed)
    if compute.gradient_checkpointing:
        checkpoint_gradients(policy.causal_lm, policy.model)
    return policy


def hide_progress_bars() -> None:
    """The bars of transformers would run through the live view."""
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def checkpoint_gradients(hugging_face_model: Any, model: nn.Module) -> None:
    """Hidden states of layers are computed again in backward, instead of being kept; `model` is the whole module."""
    # Non-reentrant: the reentrant form drops gradients of adapters behind a frozen embedding. transformers
    # checkpoints in training mode only, which otherwise changes nothing, as there is no dropout.
    trunk = hugging_face_model.base_model
    hugging_face_model.gradient_checkpointing_enable(
        gradient_checkpointing_kwargs={"use_reentrant": False, "context_fn": partial(same_attention, trunk)}
    )
    model.train()


def resolve_device(name: str) -> torch.device:
    """The device of that name; "auto" is a CUDA GPU if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("mps"):
        raise ConfigError(
            'compute.device = "mps": Apple GPUs have no float64, in which the sampler finds tokens. Use "cpu".'
        )
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f'compute.device = "{name}" cannot be used here: {reason}. Try "auto".') from None
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of that name; "auto" is bfloat16 where the processor multiplies it fast, else float32."""
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # avx512_bf16 or AMX: without them bfloat16 is emulated, and slower than float32.
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


def sampling_of(section: SamplingSection, policy: LanguageModel, seed: int) -> Sampling:
    """Every field of the sampling, with the ids that end a response of this model."""
    return Sampling(
        temperature=section.temperature,
        top_p=section.top_p,
        top_k=section.top_k,
        min_p=section.min_p,
        max_new_tokens=section.max_new_tokens,
        stop=section.stop,
        eos_token_ids=policy.eos_token_ids,
        seed=seed,
        step=0,
    )


def learning_rate_schedule(section: OptimizerSection, num_steps: int) -> LearningRateSchedule:
    """The learning rate over a run of that many optimiser steps."""
    warmup_share = 0.0 if section.warmup_steps else section.warmup_share
    return LearningRateSchedule(
        section.learning_rate,
        kind=section.schedule,
        warmup_steps=section.warmup_steps,
        warmup_share=warmup_share,
        total_steps=num_steps if section.schedule != "constant" or warmup_share else None,
        final_share=section.final_share,
    )


def optimizer_settings(
    section: OptimizerSection, num_steps: int, *, by_prefix: Mapping[str, LearningRateSchedule] | None = None
) -> OptimizerSettings:
    """AdamW and its schedule for a run of that many optimiser steps; `by_prefix`: see `OptimizerSettings`."""
    return OptimizerSettings(
        learning_rate_schedule(section, num_steps),
        betas=(section.beta1, section.beta2),
        epsilon=section.epsilon,
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        schedules_by_prefix=by_prefix or {},
    )
