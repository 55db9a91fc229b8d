"""Proximal policy optimisation with a critic: the note's five stages, one method each, in its order.

    generate -> score -> advantages -> policy -> critic
            -> load_weights -> log -> evaluate -> checkpoint

GRPO is beside this file: it has no critic, and compares a response with the others of its group instead. What
differs between the note and the usual practice is settings: `posttrain.config.ppo.PPO_PRESETS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from posttrain.algorithms import adaptive_kl_coef
from posttrain.batches import PolicyValueBatch, TokenBatch, ValueBatch
from posttrain.config.ppo import PPOAlgorithmSection, PPOConfig
from posttrain.models.output_head import OutputHead
from posttrain.models.reference import FrozenReference
from posttrain.recipes.critics import Critic, longest_response, open_learners
from posttrain.recipes.learners import RunLearner
from posttrain.recipes.parameters_held import parameters_held
from posttrain.recipes.policy_pass import PolicyReader
from posttrain.recipes.policy_run import PolicyResult, PolicyRun, train_on_own_samples
from posttrain.recipes.ppo_advantages import estimate_advantages, final_scores
from posttrain.recipes.response_metrics import response_metrics
from posttrain.recipes.reward import RewardFunction
from posttrain.recipes.updates import run_updates
from posttrain.runs.step_clock import StepClock
from posttrain.training.invariants import check_first_ratio, check_policy_batch
from posttrain.training.objectives import PolicyGradient
from posttrain.training.value_objective import PolicyAndValue, ValueRegression
from posttrain.types import Rollout, ScoredRollout


@dataclass(frozen=True)
class PPOResult(PolicyResult):
    """What a PPO run came to; see `PolicyResult`."""


def ppo(config: PPOConfig, *, reward: RewardFunction | None = None) -> PPOResult:
    """Trains `config.model` with a critic, or goes on with the run in `config.output`; returns both held-out scores.

    `reward` is a function of yours, `f(prompts, completions, **columns) -> list of numbers`, called in a worker
    process; it is added to `config.reward.terms`, or stands alone when there are none.
    Raises ConfigError, DataError, ModelError, RewardError or InvariantError with what to do about it. Ctrl-C
    ends the run after the current step, saved.
    """
    optimizers = [config.optimizer, config.critic.optimizer]
    return train_on_own_samples(
        config, _PPO.start, PPOResult, name="ppo", optimizers=optimizers, reward=reward
    )


@dataclass
class _PPO:
    """The parts of one run, wired together; `kl_coef` is the one setting that may change while it runs."""

    config: PPOConfig
    run: PolicyRun
    trained: RunLearner
    value_model: Critic
    reader: PolicyReader
    policy_objective: PolicyGradient
    value_objective: ValueRegression
    kl_coef: float

    @classmethod
    def start(cls, config: PPOConfig, run: PolicyRun) -> _PPO:
        """Everything around the policy, and the checkpoint taken over where there is one."""
        algorithm, policy, session = config.algorithm, run.policy, run.session
        checkpoint, temperature = session.take_restored(), config.sampling.temperature
        # Both before the checkpoint is loaded: reference and critic start from what the policy started from.
        reference = FrozenReference.of(policy) if algorithm.kl_coef > 0 else None
        trained, critic = open_learners(config, policy, session)
        policy_objective, value_objective = objectives_of(
            algorithm, temperature=temperature, reference_head=None if reference is None else reference.head
        )
        recipe = cls(
            config=config,
            run=run,
            trained=trained,
            value_model=critic,
            reader=PolicyReader(trained.learner, policy, reference, algorithm.kl, temperature),
            policy_objective=policy_objective,
            value_objective=value_objective,
            kl_coef=algorithm.kl_coef if checkpoint is None else float(checkpoint.state["kl_coef"]),
        )
        run.begin(
            checkpoint,
            *recipe.learners,
            max_length=longest_response(policy, critic),
            overlong=config.algorithm.overlong,
        )
        held = parameters_held(policy.model, reference, run.judge, critic=critic.added_parameters)
        session.keep_fact("parameters_held", held)
        return recipe

    @property
    def learners(self) -> list[RunLearner]:
        """The policy's and the critic's; a critic that is a head has none of its own."""
        return [self.trained] if self.value_model.is_head else [self.trained, self.value_model.trained]

    def step(self, step: int) -> None:
        """One step of PPO: the note's five stages."""
        clock = StepClock()
        rollouts = clock.timed("generate_seconds", self.generate)(step)
        scored = clock.timed("score_seconds", self.score)(rollouts)
        batch, metrics = clock.timed("advantages_seconds", self.advantages)(step, scored)
        if batch is not None:
            metrics |= clock.timed("policy_seconds", self.policy)(step, batch)
            metrics |= clock.timed("critic_seconds", self.critic)(step, batch)
            if not self.value_model.is_head:
                # Two networks, two optimisers, one sum: the note's total, as the loss that is minimised.
                metrics["loss"] = metrics.get("loss", 0.0) + self.value_objective.coef * metrics["value_loss"]
            if "response_kl" in metrics:
                self.kl_coef = self._next_kl_coef(metrics["response_kl"], len(batch))
        self.run.load_weights(step)
        updates = ("advantages_seconds", "policy_seconds", "critic_seconds")
        seconds = clock.seconds | {"update_seconds": sum(clock.seconds.get(name, 0.0) for name in updates)}
        self.run.finish_step(step, metrics, seconds, scored, self.learners, {"kl_coef": self.kl_coef})

    def generate(self, step: int) -> list[Rollout]:
        """Stage 1: the policy's responses to the next prompts."""
        return self.run.generate(step, self.run.prompts.take(self.config.prompts_per_step))

    def score(self, rollouts: Sequence[Rollout]) -> Sequence[ScoredRollout]:
        """Stage 2: the reward of each response."""
        return self.run.score(rollouts)

    def advantages(
        self, step: int, scored: Sequence[ScoredRollout]
    ) -> tuple[PolicyValueBatch | None, dict[str, float]]:
        """Stage 3: how much better each token was than the critic expected; None when nothing can be trained on."""
        algorithm = self.config.algorithm
        found = final_scores(scored, algorithm)
        metrics = response_metrics(scored, found.is_trained)
        rows = found.is_trained.nonzero()[:, 0]
        if not len(rows):
            self.run.session.view.note(
                f"step {step}: nothing to train on, no response has a score that counts"
            )
            return None, metrics
        rollouts, found = [scored[row].rollout for row in rows.tolist()], found.select(rows)
        tokens = TokenBatch.from_rollouts(rollouts)
        plan = self.run.minibatches(step, 0, len(tokens))
        before = self.reader.read(rollouts, tokens, plan)
        values = self.value_model.values(tokens, plan)
        kl_in_reward = self.reader.reference is not None and algorithm.kl_in == "reward"
        estimates = estimate_advantages(
            found.scores,
            values,
            tokens.response_mask,
            algorithm,
            kl=before.kl if kl_in_reward else None,
            kl_coef=self.kl_coef if kl_in_reward else 0.0,
            bootstrap_values=self.value_model.end_values(tokens, found.bootstraps.nonzero()[:, 0]),
        )
        metrics |= before.metrics | dict(estimates.metrics)
        batch = PolicyValueBatch(
            before.batch(
                estimates.advantages,
                kl_in_loss=algorithm.kl_in == "loss",
                importance_cap=algorithm.importance_cap,
            ),
            ValueBatch(tokens, old_values=values, targets=estimates.targets),
        )
        check_policy_batch(batch.policy)
        self.run.check_agreement(step, metrics)
        if before.kl is not None:
            metrics["response_kl"] = float(before.kl.double().sum(dim=-1).mean())
            metrics["kl_coef"] = self.kl_coef
        return batch, metrics

    def policy(self, step: int, batch: PolicyValueBatch) -> dict[str, float]:
        """Stage 4: the policy's update; with a critic that is a head, this is the note's whole loss in one."""
        if step <= self.config.critic.policy_starts_after_steps:
            return {}
        objective = self.policy_objective
        if objective.kl_coef > 0:
            objective = dataclasses.replace(objective, kl_coef=self.kl_coef)  # it may adapt
        first_ratio = partial(check_first_ratio, dtype=self.run.policy.dtype)
        update = partial(
            run_updates,
            self.trained.learner,
            minibatches=partial(self.run.minibatches, step),
            epochs=self.config.epochs_per_step,
            progress=partial(self.run.session.view.phase, "policy"),
            check_first=first_ratio,
        )
        if self.value_model.is_head:
            return update(batch, PolicyAndValue(objective, self.value_objective))
        return update(batch.policy, objective)

    def critic(self, step: int, batch: PolicyValueBatch) -> dict[str, float]:
        """Stage 5: the critic's update; a head was updated with the policy."""
        if self.value_model.is_head:
            return {}
        found = run_updates(
            self.value_model.trained.learner,
            batch.value,
            self.value_objective,
            partial(self.run.minibatches, step),
            epochs=self.config.epochs_per_step,
            progress=partial(self.run.session.view.phase, "critic"),
        )
        own = ("value_loss", "value_clip_fraction")
        shared = ("grad_norm", "learning_rate", "skipped", "skipped_steps")
        return {name: found[name] for name in own if name in found} | {
            f"critic_{name}": found[name] for name in shared
        }

    def export(self, folder: Path) -> None:
        """The policy, as a model of its own, and the critic beside it."""
        self.run.policy.save(folder)
        self.value_model.export(folder)

    def _next_kl_coef(self, response_kl: float, num_responses: int) -> float:
        """What the coefficient is from the next step on: nearer to where the KL of a response is `kl_target`."""
        algorithm = self.config.algorithm
        if algorithm.kl_target is None:
            return self.kl_coef
        return adaptive_kl_coef(
            self.kl_coef,
            response_kl,
            target=algorithm.kl_target,
            num_steps=num_responses,
            horizon=algorithm.kl_horizon,
        )


def objectives_of(
    algorithm: PPOAlgorithmSection, *, temperature: float, reference_head: OutputHead | None = None
) -> tuple[PolicyGradient, ValueRegression]:
    """What the policy and the critic minimise, as means over response tokens: the note's E_t."""
    policy = PolicyGradient(
        clip_low=algorithm.clip_low,
        clip_high=algorithm.clip_high,
        dual_clip=algorithm.dual_clip,
        temperature=temperature,
        ratio_level="token",
        aggregation="token",
        kl_coef=algorithm.kl_coef if algorithm.kl_in == "loss" else 0.0,
        kl=algorithm.kl,
        entropy_coef=algorithm.entropy_coef,
        reference_head=reference_head,
    )
    return policy, ValueRegression(coef=algorithm.value_coef, clip=algorithm.value_clip)
