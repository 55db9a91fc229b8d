"""The critic of a PPO run: a network of its own, or a head on the policy; where it starts, what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from posttrain.batches import TokenBatch
from posttrain.config.ppo import PPOConfig
from posttrain.errors import ConfigError
from posttrain.models.folder_checks import check_trunk_for_scalars, hidden_width
from posttrain.models.language_model import LanguageModel
from posttrain.models.reward_model import RewardModelDescription
from posttrain.models.scalar_model import (
    ScalarModel,
    is_scalar_model,
    load_trunk_for_scalars,
    scalar_model_of,
)
from posttrain.models.smollm2 import SMOLLM2
from posttrain.models.tokenizer_loading import load_tokenizer
from posttrain.models.value_head import VALUE_HEAD, PolicyWithValueHead, check_saved_head
from posttrain.recipes.learners import RunLearner
from posttrain.recipes.session import TrainingSession
from posttrain.recipes.setup import checkpoint_gradients, learning_rate_schedule

CRITIC_FOLDER = "critic"
"""In the exported model's folder: a critic of its own, which `AutoModelForSequenceClassification` opens."""


@dataclass(frozen=True)
class Critic:
    """The value model and what trains it: for a head that is the policy's learner, which has both in one model."""

    model: ScalarModel | PolicyWithValueHead
    trained: RunLearner

    @property
    def is_head(self) -> bool:
        """Whether the critic shares the policy's trunk."""
        return isinstance(self.model, PolicyWithValueHead)

    @property
    def added_parameters(self) -> nn.Module:
        """The module whose parameters a run holds because it has a critic."""
        module: nn.Module = (
            self.model.head if isinstance(self.model, PolicyWithValueHead) else self.model.model
        )
        return module

    def values(self, tokens: TokenBatch, minibatches: Sequence[Sequence[int]]) -> Tensor:
        """`V(s_t)` before each response token, `[rows, time]`: in the micro-batches that the update will have."""
        return self.trained.learner.per_token(
            tokens, self.model.values_without_graph, minibatches=minibatches
        )

    def end_values(self, tokens: TokenBatch, rows: Tensor) -> Tensor:
        """`V(s_T)`, the value of where the responses of these rows stop; 0 for the other rows: `[rows of tokens]`."""
        found = torch.zeros(len(tokens))
        if len(rows):
            ends = tokens.select(rows.tolist()).with_end_states()
            values = self.values(ends, [range(len(ends))])
            found[rows] = values.gather(1, (ends.response_lengths - 1)[:, None]).squeeze(1)
        return found

    def export(self, folder: Path) -> None:
        """Puts the critic into the exported policy's folder, where the policy's loader does not look."""
        if isinstance(self.model, PolicyWithValueHead):
            self.model.save_head(folder)
        else:
            self.model.save(folder / CRITIC_FOLDER)


def open_learners(
    config: PPOConfig, policy: LanguageModel, session: TrainingSession
) -> tuple[RunLearner, Critic]:
    """The policy's learner and the critic, as they are at the start of a run; call it before a checkpoint is loaded.

    ConfigError for a critic that reads other ids than the policy writes; ModelError for one that cannot be had.
    """
    section = config.critic
    policy_updates = (config.steps - section.policy_starts_after_steps) * config.updates_per_step
    critic_rate = learning_rate_schedule(section.optimizer, config.optimizer_steps)
    if section.kind == "head":
        both = PolicyWithValueHead(policy)
        if config.critic_start != "policy":
            both.load_head(Path(config.critic_start))
        trained = RunLearner(
            session,
            both,
            config.optimizer,
            config.compute,
            num_updates=policy_updates,
            schedules_by_prefix={VALUE_HEAD: critic_rate},
        )
        return trained, Critic(both, trained)
    model = _own_network(config, policy)
    if session.first_step == 1 and _speaks_raw_scores(section.start):
        session.view.note(
            f"critic.start = {section.start!r} is a calibrated reward model with its own last layer: the critic says "
            "raw scores at first, and rewards are normalised. Set critic.policy_starts_after_steps so that it learns "
            'their level alone, or critic.start = "auto", which gives it a new last layer.'
        )
    trained = RunLearner(session, policy, config.optimizer, config.compute, num_updates=policy_updates)
    head_rate = {} if section.head_learning_rate is None else {"learning_rate": section.head_learning_rate}
    head_section = section.optimizer.model_copy(update=head_rate)
    critic = RunLearner(
        session,
        model,
        section.optimizer,
        config.compute,
        num_updates=config.optimizer_steps,
        role="critic",
        schedules_by_prefix={"score.": learning_rate_schedule(head_section, config.optimizer_steps)},
    )
    return trained, Critic(model, critic)


def longest_response(policy: LanguageModel, critic: Critic) -> int | None:
    """Tokens of prompt + response that both were made for; None when neither says."""
    limits = [policy.max_length]
    if isinstance(critic.model, ScalarModel):
        limits.append(critic.model.max_length)
    return min((limit for limit in limits if limit is not None), default=None)


def _own_network(config: PPOConfig, policy: LanguageModel) -> ScalarModel:
    start = config.critic_start
    if start == "policy":
        model = scalar_model_of(policy, head="zeros")
    else:
        model = load_trunk_for_scalars(
            start,
            dtype=policy.dtype,
            device=policy.device,
            head="zeros",
            seed=config.seed,
            # A reward model's head says raw scores, and rewards are normalised: their mean on good answers is 0.
            keeps_head=config.critic.start != "auto",
        )
        _check_vocabulary(model, policy)
    if config.compute.gradient_checkpointing:
        checkpoint_gradients(model.model, model.model)
    return model


def _speaks_raw_scores(start: str) -> bool:
    """Whether this is a reward model whose scores are normalised where they are rewards."""
    if start in ("auto", "policy") or not is_scalar_model(start):
        return False
    return RewardModelDescription.read(start).calibration is not None


def check_critic_folder(config: PPOConfig, *, knows_policy: bool) -> None:
    """ConfigError or ModelError, before a model is loaded, when the critic cannot start from the folder that is named.

    `knows_policy` says that `config.model` is there already, to be compared with; no weights are read.
    """
    start = Path(config.critic_start).expanduser()
    if not start.is_dir():
        return  # the policy, or an id of the Hub
    policy = (
        config.model if knows_policy and (config.model == SMOLLM2 or Path(config.model).exists()) else None
    )
    if config.critic.kind == "head":
        check_saved_head(start, policy=config.model, width=None if policy is None else hidden_width(policy))
        return
    check_trunk_for_scalars(start)
    if policy is None:
        return
    own, other = load_tokenizer(start).get_vocab(), load_tokenizer(policy).get_vocab()
    if own != other:
        raise _another_vocabulary(config.critic_start, len(own), policy, len(other))


def _check_vocabulary(critic: ScalarModel, policy: LanguageModel) -> None:
    """The critic reads the very ids that the policy sampled, so one id must be one token for both."""
    size = policy.head.weight.shape[0]
    if critic.tokenizer.get_vocab() != policy.tokenizer.get_vocab() or critic.vocabulary_size < size:
        raise _another_vocabulary(critic.name, critic.vocabulary_size, policy.name, size)


def _another_vocabulary(critic: str, critic_size: int, policy: str, size: int) -> ConfigError:
    return ConfigError(
        f"the critic starts from {critic}, whose vocabulary ({critic_size} ids) is not that of the policy {policy} "
        f"({size} ids): it would read other words than the policy wrote. Set critic.start = "
        '"policy", or name a model with the same tokenizer.'
    )
