"""What every recipe has that learns from its own samples: prompts -> rollouts -> scores, and what a run leaves behind.

`supervised.py` is its counterpart for recipes that learn from given data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

from posttrain.config.reinforcement import ReinforcementConfig
from posttrain.config.sections import OptimizerSection, RewardSection
from posttrain.evaluation.evaluate import Evaluation, evaluate
from posttrain.models.language_model import LanguageModel
from posttrain.recipes.learners import RunLearner, may_change_on_resume, restore_parts, snapshot_parts
from posttrain.recipes.prompts import Prompts, RenderedPrompts, open_prompts
from posttrain.recipes.reward import (
    RewardFunction,
    gives_right_or_wrong,
    highest_score,
    introduce_policy,
    open_reward,
    term_names,
)
from posttrain.recipes.session import Snapshot, TrainingSession, peak_memory_bytes
from posttrain.recipes.setup import load_policy, sampling_of
from posttrain.rewards.scoring import score
from posttrain.rewards.weighted_sum import WeightedSum
from posttrain.rollouts.engine import RolloutEngine
from posttrain.rollouts.torch_engine import TorchEngine
from posttrain.runs.metric_names import count_text
from posttrain.training.checkpoint import Checkpoint
from posttrain.training.invariants import (
    check_policy_versions,
    check_reference_kl_is_zero,
    check_sampler_mismatch,
)
from posttrain.training.microbatches import plan_minibatches
from posttrain.types import Prompt, Rollout, Sampling, ScoredRollout


@dataclass(frozen=True)
class PolicyResult:
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


Result = TypeVar("Result", bound=PolicyResult)
Config = TypeVar("Config", bound=ReinforcementConfig)


class Algorithm(Protocol):
    """A recipe's own part of a run."""

    def step(self, step: int) -> None:
        """One step, logged and saved."""
        ...

    def export(self, folder: Path) -> None:
        """What the run trained, as `model/`."""
        ...


def train_on_own_samples(
    config: Config,
    start: Callable[[Config, PolicyRun], Algorithm],
    result: type[Result],
    *,
    name: str,
    optimizers: Sequence[OptimizerSection],
    reward: RewardFunction | None,
) -> Result:
    """The run from its first start to its last step: `start` wires the recipe's parts, then come the steps."""
    prompts = open_prompts(config.data, config.seed)
    with (
        open_reward(config.reward, prompts.verifier, reward, compute=config.compute) as judge,
        _held_out_judge(config, prompts, judge) as held_out_judge,
        TrainingSession(
            config,
            title=f"{name} {config.model}",
            num_steps=config.steps,
            may_change=may_change_on_resume(*optimizers),
            reward_names=term_names(judge),
            highest_score=highest_score(judge),
        ) as session,
    ):
        if not session.is_complete:
            _keep_the_held_out_judge(session, held_out_judge)
            run = PolicyRun.open(config, prompts, judge, held_out_judge, session)
            algorithm = start(config, run)
            run.evaluate(0)
            for step in session.steps():
                algorithm.step(step)
            if session.steps_done == config.steps:
                session.export_model(algorithm.export)
        return result(
            run_folder=session.folder.path,
            step=session.steps_done,
            before=session.evaluation_of_step(0),
            after=session.evaluation_of_step(session.steps_done),
            model_folder=session.folder.model if session.is_complete else None,
            is_exact=gives_right_or_wrong(held_out_judge),
            alarms=tuple(session.alarms()),
        )


@dataclass
class PolicyRun:
    """The policy and everything around its update; `policy` is in training as soon as a learner holds it."""

    config: ReinforcementConfig
    session: TrainingSession
    judge: WeightedSum
    held_out_judge: WeightedSum
    prompts: RenderedPrompts
    sampling: Sampling
    policy: LanguageModel
    engine: RolloutEngine

    @classmethod
    def open(
        cls,
        config: ReinforcementConfig,
        prompts: Prompts,
        judge: WeightedSum,
        held_out_judge: WeightedSum,
        session: TrainingSession,
    ) -> Self:
        """Loads the policy and renders the prompts. Nothing of a checkpoint is in it yet."""
        policy = load_policy(config.model, config.compute, config.lora, seed=config.seed)
        session.keep_the_same("dtype", str(policy.dtype).removeprefix("torch."))
        for reward in {id(judge): judge, id(held_out_judge): held_out_judge}.values():
            introduce_policy(reward, policy, config.data, session.view.note)
        return cls(
            config=config,
            session=session,
            judge=judge,
            held_out_judge=held_out_judge,
            prompts=RenderedPrompts(
                prompts,
                policy.tokenizer,
                seed=config.seed,
                num_held_out=config.evaluation.num_prompts,
                note=session.view.note,
            ),
            sampling=sampling_of(config.sampling, policy, config.seed),
            policy=policy,
            engine=TorchEngine(policy, shares_weights=True, max_rows=config.compute.rollout_rows),
        )

    def begin(
        self, checkpoint: Checkpoint | None, *learners: RunLearner, max_length: int | None, overlong: str
    ) -> None:
        """Takes over the checkpoint where there is one; from here on nothing stands in the way of the first step.

        `max_length` is what all models can read, `overlong` the algorithm's setting for responses that are cut.
        """
        if checkpoint is not None:
            restore_parts(checkpoint, *learners)
            self.prompts.stream.load_state_dict(checkpoint.state["prompts"])
        self.load_weights(self.session.first_step - 1)
        self.prompts.check_lengths(self.config.sampling.max_new_tokens, max_length)
        self.session.record_start(str(self.policy.device))
        self.session.view.note(_plan_in_words(self.config, self.policy))
        if remark := cut_responses_pay(overlong, self.config.reward):
            self.session.view.note(remark)

    def load_weights(self, step: int) -> None:
        """The engine samples with the weights of after this step."""
        self.engine.load_weights(self.policy.named_weights(), policy_version=step)

    def generate(self, step: int, prompts: Sequence[Prompt]) -> list[Rollout]:
        """`responses_per_prompt` rollouts of each prompt, with this step's random numbers."""
        rollouts = self.engine.generate(
            prompts,
            self.sampling.at_step(step),
            self.config.responses_per_prompt,
            progress=lambda done, total, _tokens: self.session.view.phase("generate", done, total),
        )
        check_policy_versions(rollouts, policy_version=step - 1)
        return rollouts

    def score(self, rollouts: Sequence[Rollout]) -> Sequence[ScoredRollout]:
        """The rollouts with their scores; RewardError when too many could not be scored."""
        self.session.view.phase("score", 0, len(rollouts))
        return score(rollouts, self.judge, max_unscored_share=self.config.reward.max_unscored_share).scored

    def minibatches(self, step: int, epoch: int, num_rows: int) -> list[list[int]]:
        """The rows of each mini-batch of an epoch; a function of the run's seed alone."""
        return plan_minibatches(
            num_rows, self.config.minibatches_per_step, seed=self.config.seed, step=step, epoch=epoch
        )

    def check_agreement(self, step: int, metrics: Mapping[str, float]) -> None:
        """InvariantError when the learner's policy is not the engine's, or the reference is another model."""
        if step == 1 and "reference_kl" in metrics:
            check_reference_kl_is_zero(metrics["reference_kl"])
        # With tokens cut off, the engine's probabilities are not the learner's.
        is_whole = self.sampling.top_p == 1 and self.sampling.top_k == 0 and self.sampling.min_p == 0
        if is_whole and "rollout_mismatch" in metrics:
            check_sampler_mismatch(metrics["rollout_mismatch"])

    def evaluate(self, step: int) -> None:
        """The held-out score after `step` steps is in the log, where it is due and not there yet."""
        every, last = self.config.evaluation.every_steps, step == self.config.steps
        is_due = step == 0 or last or (every > 0 and step % every == 0)
        if not is_due or not self.prompts.held_out or self.session.evaluation_of_step(step) is not None:
            return
        found = evaluate(
            self.engine,
            self.prompts.held_out,
            self.held_out_judge,
            self.sampling,
            self.config.evaluation.samples_per_prompt,
            max_unscored_share=(self.config.evaluation.reward or self.config.reward).max_unscored_share,
            progress=lambda done, total, _tokens: self.session.view.phase("evaluate", done, total),
        )
        self.session.write_evaluation(step, found)

    def finish_step(
        self,
        step: int,
        metrics: Mapping[str, float],
        seconds: Mapping[str, float],
        scored: Sequence[ScoredRollout],
        learners: Sequence[RunLearner],
        more_state: Mapping[str, object] | None = None,
    ) -> None:
        """The step is logged, its held-out score taken where it is due, and the run saved where that is due."""
        timings = {
            **seconds,
            "tokens_per_second": metrics["num_response_tokens"] / max(seconds["generate_seconds"], 1e-9),
            "peak_memory_bytes": peak_memory_bytes(self.policy.device),
        }
        for learner in learners:
            learner.keep_budget()
        self.session.write_step(step, {"epoch": float(self.prompts.stream.epoch), **metrics}, timings, scored)
        self.evaluate(step)

        def snapshot() -> Snapshot:
            tensors, state = snapshot_parts(*learners)
            state |= {"prompts": self.prompts.stream.state_dict(), "reward": self.session.reward_names}
            return Snapshot(
                write_model=self.policy.save, tensors=tensors, state=state | dict(more_state or {})
            )

        self.session.save_if_due(step, snapshot)


def _held_out_judge(
    config: ReinforcementConfig, prompts: Prompts, judge: WeightedSum
) -> contextlib.AbstractContextManager[WeightedSum]:
    """The reward of held-out responses: `evaluation.reward`, or the run's own, which its opener closes."""
    if config.evaluation.reward is None:
        return contextlib.nullcontext(judge)
    return open_reward(config.evaluation.reward, prompts.verifier, compute=config.compute)


def _keep_the_held_out_judge(session: TrainingSession, judge: WeightedSum) -> None:
    """ConfigError when others gave earlier held-out scores of this run; the code of users may change, as in rewards."""
    earlier = session.fact("held_out_reward") or ()
    names = [name.partition(" ")[0] for name in term_names(judge)]
    session.keep_the_same(
        "held_out_reward",
        names,
        refusal=f"held-out responses of this run were judged by {', '.join(earlier)}, and "
        f"now would be by {', '.join(names)}: the scores could not be compared. Go on with the same judge (a reward "
        "model is told by its weights), or choose another output folder.",
    )


def cut_responses_pay(overlong: str, reward: RewardSection) -> str | None:
    """What to know where a reward model gives cut responses 0 and they are trained on: it is its average score."""
    if overlong not in ("score", "zero") or all(term.model is None for term in reward.terms):
        return None
    return (
        "a response that is cut by length earns 0 from a reward model, as much as an average reference answer, so "
        'being cut can pay. algorithm.overlong = "mask" leaves cut responses out of training.'
    )


def _plan_in_words(config: ReinforcementConfig, policy: LanguageModel) -> str:
    updates = config.updates_per_step
    return (
        f"{count_text(config.prompts_per_step, 'prompt')} x {count_text(config.responses_per_prompt, 'response')} = "
        f"{count_text(config.responses_per_step, 'response')} a step, {count_text(updates, 'optimiser step')} on them, "
        f"{config.optimizer_steps} in all; {policy.device}, {str(policy.dtype).removeprefix('torch.')}"
    )
