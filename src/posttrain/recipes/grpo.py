"""Group relative policy optimisation: the loop of the papers, with everything else in the rooms around it.

    prompts -> generate -> score -> advantages -> PolicyBatch -> update (x epochs x mini-batches)
            -> load_weights -> log -> evaluate -> checkpoint

Departs from DeepSeekMath's Algorithm 1: the reference stays the starting model (no outer iterations), and the
reward comes from verifiers or functions. What differs between the note, GRPO, Dr. GRPO, DAPO, GSPO and RLOO is
settings: `posttrain.config.algorithm.PRESETS`. What PPO does instead is in `ppo.py`, beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from posttrain.batches import TokenBatch
from posttrain.config.grpo import GRPOConfig
from posttrain.models.reference import FrozenReference
from posttrain.recipes.groups import Groups, advantages_of, sample_groups
from posttrain.recipes.learners import RunLearner
from posttrain.recipes.parameters_held import parameters_held
from posttrain.recipes.policy_pass import PolicyReader
from posttrain.recipes.policy_run import PolicyResult, PolicyRun, train_on_own_samples
from posttrain.recipes.reward import RewardFunction
from posttrain.recipes.updates import run_updates
from posttrain.runs.step_clock import StepClock
from posttrain.training.invariants import check_first_ratio, check_policy_batch
from posttrain.training.objectives import PolicyGradient


@dataclass(frozen=True)
class GRPOResult(PolicyResult):
    """What a GRPO run came to; see `PolicyResult`."""


def grpo(config: GRPOConfig, *, reward: RewardFunction | None = None) -> GRPOResult:
    """Trains `config.model`, or goes on with the run in `config.output`; returns both held-out scores.

    `reward` is a function of yours, `f(prompts, completions, **columns) -> list of numbers`, called in a worker
    process; it is added to `config.reward.terms`, or stands alone when there are none.
    Raises ConfigError, DataError, ModelError, RewardError or InvariantError with what to do about it. Ctrl-C
    ends the run after the current step, saved.
    """
    return train_on_own_samples(
        config, _GRPO.start, GRPOResult, name="grpo", optimizers=[config.optimizer], reward=reward
    )


@dataclass
class _GRPO:
    """The parts of one run, wired together."""

    config: GRPOConfig
    run: PolicyRun
    trained: RunLearner
    reader: PolicyReader
    objective: PolicyGradient

    @classmethod
    def start(cls, config: GRPOConfig, run: PolicyRun) -> _GRPO:
        """Everything around the policy, and the checkpoint taken over where there is one."""
        algorithm, policy, session = config.algorithm, run.policy, run.session
        checkpoint = session.take_restored()
        # Before the checkpoint is loaded: the reference is what training started from.
        reference = FrozenReference.of(policy) if algorithm.kl_coef > 0 else None
        trained = RunLearner(
            session, policy, config.optimizer, config.compute, num_updates=config.optimizer_steps
        )
        temperature = config.sampling.temperature
        run.begin(checkpoint, trained, max_length=policy.max_length, overlong=algorithm.overlong)
        session.keep_fact("parameters_held", parameters_held(policy.model, reference, run.judge))
        return cls(
            config=config,
            run=run,
            trained=trained,
            reader=PolicyReader(trained.learner, policy, reference, algorithm.kl, temperature),
            objective=PolicyGradient(
                clip_low=algorithm.clip_low,
                clip_high=algorithm.clip_high,
                dual_clip=algorithm.dual_clip,
                temperature=temperature,
                ratio_level=algorithm.ratio_level,
                aggregation=algorithm.aggregation,
                max_response_length=config.sampling.max_new_tokens,
                kl_coef=algorithm.kl_coef if algorithm.kl_in == "loss" else 0.0,
                kl=algorithm.kl,
                entropy_coef=algorithm.entropy_coef,
                reference_head=None if reference is None else reference.head,
            ),
        )

    def step(self, step: int) -> None:
        """One step of GRPO: Algorithm 1 of DeepSeekMath, lines 4 to 10."""
        config, clock = self.config, StepClock()
        groups = sample_groups(
            config.algorithm,
            prompts_per_step=config.prompts_per_step,
            max_new_tokens=config.sampling.max_new_tokens,
            take=self.run.prompts.take,
            generate=clock.timed("generate_seconds", partial(self.run.generate, step)),
            score=clock.timed("score_seconds", self.run.score),
        )
        metrics = dict(groups.metrics)
        if bool(groups.is_trained.any()):
            metrics |= clock.timed("update_seconds", self.update)(step, groups, clock)
        else:
            self.run.session.view.note(f"step {step}: nothing to train on, every group's rewards are equal")
        self.run.load_weights(step)
        self.run.finish_step(step, metrics, clock.seconds, groups.scored, [self.trained])

    def update(self, step: int, groups: Groups, clock: StepClock) -> dict[str, float]:
        """Epochs x mini-batches of optimiser steps on one step's groups; what was measured on the way."""
        algorithm, plan = self.config.algorithm, partial(self.run.minibatches, step)
        rows = groups.is_trained.nonzero()[:, 0]
        rollouts = [groups.rollouts[row] for row in rows.tolist()]
        tokens = TokenBatch.from_rollouts(rollouts)
        minibatches = plan(0, len(tokens))
        # One update per rollout: its own forward pass gives the old logprobs, unless something needs them before.
        is_only_update = (
            self.config.epochs_per_step == len(minibatches) == 1
            and algorithm.importance_cap is None
            and (algorithm.kl_in == "loss" or self.reader.reference is None)
        )
        read = clock.timed("logprobs_seconds", self.reader.read)
        before = read(rollouts, tokens, minibatches, is_only_update=is_only_update)

        rewards = groups.rewards.clone()
        if before.kl is not None and algorithm.kl_in == "reward":
            # One reward for a response, so its tokens' KL adds up: R - kl_coef * sum_t KL_t.
            rewards[rows] -= algorithm.kl_coef * before.kl.double().sum(dim=-1)
        advantages = advantages_of(groups, rewards, algorithm)[rows].float()
        batch = before.batch(
            advantages[:, None].expand(tokens.response_mask.shape).contiguous(),
            kl_in_loss=algorithm.kl_in == "loss",
            importance_cap=algorithm.importance_cap,
        )
        check_policy_batch(batch)
        self.run.check_agreement(step, before.metrics)

        def check_first(seen: Mapping[str, float]) -> None:
            check_first_ratio(seen, self.run.policy.dtype)
            if is_only_update:
                self.run.check_agreement(step, seen)

        return before.metrics | run_updates(
            self.trained.learner,
            batch,
            self.objective,
            plan,
            epochs=self.config.epochs_per_step,
            progress=partial(self.run.session.view.phase, "update"),
            check_first=check_first,
        )

    def export(self, folder: Path) -> None:
        """The policy, as a model of its own."""
        self.run.policy.save(folder)
