"""Group relative policy optimisation: the loop of the papers, with everything else in the rooms around it.

    prompts -> generate -> score -> advantages -> PolicyBatch -> update (x epochs x mini-batches)
            -> load_weights -> log -> evaluate -> checkpoint

Departs from DeepSeekMath's Algorithm 1: the reference stays the starting model (no outer iterations), and the
reward comes from verifiers or functions. What differs between the note, GRPO, Dr. GRPO, DAPO, GSPO and RLOO is
settings: `posttrain.config.algorithm.PRESETS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from posttrain.config.grpo import GRPOConfig
from posttrain.evaluation.evaluate import Evaluation, evaluate
from posttrain.models.language_model import LanguageModel
from posttrain.models.reference import FrozenReference
from posttrain.recipes.groups import Groups, sample_groups
from posttrain.recipes.learners import RunLearner, may_change_on_resume, restore_parts, snapshot_parts
from posttrain.recipes.policy_batch import PolicyBatchBuilder
from posttrain.recipes.prompts import Prompts, RenderedPrompts, open_prompts
from posttrain.recipes.reward import (
    RewardFunction,
    gives_right_or_wrong,
    highest_score,
    open_reward,
    term_names,
)
from posttrain.recipes.session import Snapshot, TrainingSession, peak_memory_bytes
from posttrain.recipes.setup import load_policy, sampling_of
from posttrain.rewards.reward import Reward
from posttrain.rewards.scoring import score
from posttrain.rollouts.engine import RolloutEngine
from posttrain.rollouts.torch_engine import TorchEngine
from posttrain.runs.step_clock import StepClock
from posttrain.training.invariants import (
    check_first_ratio,
    check_policy_batch,
    check_policy_versions,
    check_reference_kl_is_zero,
    check_sampler_mismatch,
)
from posttrain.training.metrics import Metrics
from posttrain.training.microbatches import plan_minibatches
from posttrain.training.objectives import PolicyGradient
from posttrain.types import Prompt, Rollout, Sampling, ScoredRollout


@dataclass(frozen=True)
class GRPOResult:
    """What a run came to; `model_folder` is None when it was interrupted before its end.

    The held-out scores are None where there is nothing held out, and `after` too after an interruption.
    `is_exact` says that a score is 1 for a right answer and 0 for a wrong one.
    """

    run_folder: Path
    step: int
    before: Evaluation | None
    after: Evaluation | None
    model_folder: Path | None
    is_exact: bool
    alarms: tuple[str, ...]


def grpo(config: GRPOConfig, *, reward: RewardFunction | None = None) -> GRPOResult:
    """Trains `config.model`, or goes on with the run in `config.output`; returns both held-out scores.

    `reward` is a function of yours, `f(prompts, completions, **columns) -> list of numbers`, called in a worker
    process; it is added to `config.reward.terms`, or stands alone when there are none.
    Raises ConfigError, DataError, ModelError, RewardError or InvariantError with what to do about it. Ctrl-C
    ends the run after the current step, saved.
    """
    prompts = open_prompts(config.data, config.seed)
    with (
        open_reward(config.reward, prompts.verifier, reward) as judge,
        TrainingSession(
            config,
            title=f"grpo {config.model}",
            num_steps=config.steps,
            may_change=may_change_on_resume(config.optimizer),
            reward_names=term_names(judge),
            highest_score=highest_score(judge),
        ) as session,
    ):
        if not session.is_complete:
            run = _Run.start(config, prompts, judge, session)
            run.evaluate(0)
            for step in session.steps():
                run.step(step)
            if session.steps_done == config.steps:
                session.export_model(run.policy.save)
        return _result(session, is_exact=gives_right_or_wrong(judge))


@dataclass
class _Run:
    """The parts of one run, wired together."""

    config: GRPOConfig
    session: TrainingSession
    judge: Reward
    prompts: RenderedPrompts
    sampling: Sampling
    policy: LanguageModel
    engine: RolloutEngine
    trained: RunLearner
    builder: PolicyBatchBuilder
    objective: PolicyGradient

    @classmethod
    def start(cls, config: GRPOConfig, prompts: Prompts, judge: Reward, session: TrainingSession) -> _Run:
        """Loads the model, and takes over the checkpoint where there is one."""
        algorithm, checkpoint = config.algorithm, session.take_restored()
        policy = load_policy(config.model, config.compute, config.lora, seed=config.seed)
        session.keep_the_same("dtype", str(policy.dtype).removeprefix("torch."))
        # Before the checkpoint is loaded: the reference is what training started from.
        reference = FrozenReference.of(policy) if algorithm.kl_coef > 0 else None
        trained = RunLearner(
            session, policy, config.optimizer, config.compute, num_updates=config.optimizer_steps
        )
        rendered = RenderedPrompts(
            prompts,
            policy.tokenizer,
            seed=config.seed,
            num_held_out=config.evaluation.num_prompts,
            note=session.view.note,
        )
        engine = TorchEngine(policy, shares_weights=True, max_rows=config.compute.rollout_rows)
        run = cls(
            config=config,
            session=session,
            judge=judge,
            prompts=rendered,
            sampling=sampling_of(config.sampling, policy, config.seed),
            policy=policy,
            engine=engine,
            trained=trained,
            builder=PolicyBatchBuilder(
                trained.learner, policy, reference, algorithm, temperature=config.sampling.temperature
            ),
            objective=PolicyGradient(
                clip_low=algorithm.clip_low,
                clip_high=algorithm.clip_high,
                dual_clip=algorithm.dual_clip,
                temperature=config.sampling.temperature,
                ratio_level=algorithm.ratio_level,
                aggregation=algorithm.aggregation,
                max_response_length=config.sampling.max_new_tokens,
                kl_coef=algorithm.kl_coef if algorithm.kl_in == "loss" else 0.0,
                kl=algorithm.kl,
                entropy_coef=algorithm.entropy_coef,
                reference_head=None if reference is None else reference.head,
            ),
        )
        if checkpoint is not None:
            restore_parts(checkpoint, trained)
            rendered.stream.load_state_dict(checkpoint.state["prompts"])
        engine.load_weights(policy.named_weights(), policy_version=session.first_step - 1)
        rendered.check_lengths(config.sampling.max_new_tokens, policy.max_length)
        session.record_start(str(policy.device))
        session.view.note(_plan_in_words(config, policy))
        return run

    def step(self, step: int) -> None:
        """One step of GRPO: Algorithm 1 of DeepSeekMath, lines 4 to 10."""
        config, clock = self.config, StepClock()
        groups = sample_groups(
            config.algorithm,
            prompts_per_step=config.prompts_per_step,
            max_new_tokens=config.sampling.max_new_tokens,
            take=self.prompts.take,
            generate=clock.timed("generate_seconds", partial(self.generate, step)),
            score=clock.timed("score_seconds", self.score),
        )
        check_policy_versions(groups.rollouts, policy_version=step - 1)
        metrics = {"epoch": float(self.prompts.stream.epoch), **groups.metrics}
        if bool(groups.is_trained.any()):
            metrics |= clock.timed("update_seconds", self.update)(step, groups)
        else:
            self.session.view.note(f"step {step}: nothing to train on, every group's rewards are equal")
        self.engine.load_weights(self.policy.named_weights(), policy_version=step)
        self._log(step, metrics, clock.seconds, groups.scored)
        self.evaluate(step)
        self.session.save_if_due(step, self._snapshot)

    def generate(self, step: int, prompts: Sequence[Prompt]) -> list[Rollout]:
        """`responses_per_prompt` rollouts of each prompt, with this step's random numbers."""
        return self.engine.generate(
            prompts,
            self.sampling.at_step(step),
            self.config.responses_per_prompt,
            progress=lambda done, total, _tokens: self.session.view.phase("generate", done, total),
        )

    def score(self, rollouts: Sequence[Rollout]) -> Sequence[ScoredRollout]:
        """The rollouts with their scores; RewardError when too many could not be scored."""
        self.session.view.phase("score", 0, len(rollouts))
        return score(rollouts, self.judge, max_unscored_share=self.config.reward.max_unscored_share).scored

    def update(self, step: int, groups: Groups) -> dict[str, float]:
        """Epochs x mini-batches of optimiser steps on one step's groups; what was measured on the way."""
        config = self.config
        plan = partial(_plan, config, step)
        batch, metrics = self.builder.build(groups, partial(plan, 0))
        check_policy_batch(batch)
        if step == 1 and "reference_kl" in metrics:
            check_reference_kl_is_zero(metrics["reference_kl"])
        if self.sampling.top_p == 1 and self.sampling.top_k == 0 and self.sampling.min_p == 0:
            check_sampler_mismatch(metrics["rollout_mismatch"])
        found = Metrics()
        total = config.epochs_per_step * config.minibatches_per_step
        for epoch in range(config.epochs_per_step):
            for index, rows in enumerate(plan(epoch, len(batch))):
                self.session.view.phase("update", epoch * config.minibatches_per_step + index, total)
                is_first = epoch == 0 and index == 0
                check = partial(check_first_ratio, dtype=self.policy.dtype) if is_first else None
                self.trained.learner.update(batch.select(rows), self.objective, check=check)
                found = found + self.trained.learner.last_update
        return metrics | found.means()

    def evaluate(self, step: int) -> None:
        """The held-out score after `step` steps is in the log, where it is due and not there yet."""
        every, last = self.config.evaluation.every_steps, step == self.config.steps
        is_due = step == 0 or last or (every > 0 and step % every == 0)
        if not is_due or not self.prompts.held_out or self.session.evaluation_of_step(step) is not None:
            return
        found = evaluate(
            self.engine,
            self.prompts.held_out,
            self.judge,
            self.sampling,
            self.config.evaluation.samples_per_prompt,
            max_unscored_share=self.config.reward.max_unscored_share,
            progress=lambda done, total, _tokens: self.session.view.phase("evaluate", done, total),
        )
        self.session.write_evaluation(step, found)

    def _log(
        self, step: int, metrics: dict[str, float], seconds: dict[str, float], scored: Sequence[ScoredRollout]
    ) -> None:
        tokens = metrics["num_response_tokens"]
        timings = {
            **seconds,
            "tokens_per_second": tokens / max(seconds["generate_seconds"], 1e-9),
            "peak_memory_bytes": peak_memory_bytes(self.policy.device),
        }
        self.trained.keep_budget()
        self.session.write_step(step, metrics, timings, scored)

    def _snapshot(self) -> Snapshot:
        tensors, state = snapshot_parts(self.trained)
        state |= {"prompts": self.prompts.stream.state_dict(), "reward": self.session.reward_names}
        return Snapshot(write_model=self.policy.save, tensors=tensors, state=state)


def _plan_in_words(config: GRPOConfig, policy: LanguageModel) -> str:
    updates = config.minibatches_per_step * config.epochs_per_step
    return (
        f"{config.prompts_per_step} prompts x {config.responses_per_prompt} responses = "
        f"{config.responses_per_step} responses a step, {updates} optimiser step{'s' * (updates > 1)} on them, "
        f"{config.optimizer_steps} in all; {policy.device}, {str(policy.dtype).removeprefix('torch.')}"
    )


def _result(session: TrainingSession, *, is_exact: bool) -> GRPOResult:
    is_complete = session.is_complete
    return GRPOResult(
        run_folder=session.folder.path,
        step=session.steps_done,
        before=session.evaluation_of_step(0),
        after=session.evaluation_of_step(session.steps_done),
        model_folder=session.folder.model if is_complete else None,
        is_exact=is_exact,
        alarms=tuple(session.alarms()),
    )


def _plan(config: GRPOConfig, step: int, epoch: int, num_rows: int) -> list[list[int]]:
    """The rows of each mini-batch of an epoch; a function of the run's seed alone."""
    return plan_minibatches(num_rows, config.minibatches_per_step, seed=config.seed, step=step, epoch=epoch)
