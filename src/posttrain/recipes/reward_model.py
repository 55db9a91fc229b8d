"""A reward model from comparisons: Bradley-Terry or Plackett-Luce on whole rankings, then calibrated and frozen.

    rankings -> ids -> batch of a step -> rewards of all responses -> PreferenceRanking -> update
             -> held-out accuracy and calibration -> mean and scale on reference answers -> model/

The loop itself is `recipes.supervised`: a step's rankings are a function of the seed and the step.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from posttrain.batches import PreferenceBatch, TokenBatch
from posttrain.config.reward_model import RewardModelConfig
from posttrain.data.comparisons import prompt_key
from posttrain.data.example_order import ExampleOrder
from posttrain.data.reference_answers import best_ranked, drawn_by_content, load_reference_answers
from posttrain.errors import ConfigError, DataError
from posttrain.evaluation.preference_quality import ScoredRanking, measure_preferences
from posttrain.models.lora import add_lora_to_scalar_model
from posttrain.models.reward_model import Calibration, RewardModelDescription, raw_scores
from posttrain.models.scalar_model import ScalarModel, load_trunk_for_scalars
from posttrain.models.tokenizer_loading import load_tokenizer
from posttrain.recipes.comparisons import Comparisons, conversation_format, open_comparisons
from posttrain.recipes.learners import RunLearner, may_change_on_resume
from posttrain.recipes.session import TrainingSession
from posttrain.recipes.setup import checkpoint_gradients, hide_progress_bars, resolve_device, resolve_dtype
from posttrain.recipes.supervised import SupervisedResult, Supervision, supervised_result, train_supervised
from posttrain.runs.metric_names import count_text
from posttrain.runs.preference_picture import draw_preferences
from posttrain.training.preference_objective import PreferenceRanking
from posttrain.types import Prompt, Rollout

PICTURE = "reward_model.png"
"""In the run's folder: calibration, margins, and score against length of the held-out comparisons."""

_SHOWN = ("accuracy", "accuracy_low", "accuracy_high", "loss", "calibration_error")
"""The held-out numbers on the screen; all of them are in evaluations.jsonl."""


def reward_model(config: RewardModelConfig) -> SupervisedResult:
    """Trains a reward model, or goes on with the run in `config.output`; `after` are the held-out numbers.

    What they are: `evaluation.preference_quality.measure_preferences`. The model in `model_folder` opens with
    `AutoModelForSequenceClassification`, and is what a reward term names with `model`.
    Raises ConfigError, DataError, ModelError or InvariantError with what to do about it. Ctrl-C ends the run
    after the current step, saved.
    """
    comparisons = open_comparisons(config, load_tokenizer(config.model))
    answers = _reference_answers(config, comparisons)
    order = ExampleOrder(len(comparisons.train), examples_per_step=config.rankings_per_step, seed=config.seed)
    with TrainingSession(
        config,
        title=f"reward-model {config.model}",
        num_steps=config.steps or config.epochs * order.steps_per_epoch,
        may_change=may_change_on_resume(config.optimizer),
    ) as session:
        if not session.is_complete:
            _check_same_data(session, comparisons, answers)
            _RewardModelRun(config, session, comparisons, order, answers).train()
        return supervised_result(session)


@dataclass(frozen=True)
class _Answers:
    """Reference answers that are not rendered, and in words what they are."""

    answers: list[tuple[Prompt, str]]
    what: str


class _RewardModelRun:
    """The parts of one start of a run, wired together."""

    def __init__(
        self,
        config: RewardModelConfig,
        session: TrainingSession,
        comparisons: Comparisons,
        order: ExampleOrder,
        answers: _Answers,
    ) -> None:
        self.config = config
        self.session = session
        self.comparisons = comparisons
        self.order = order
        self.answers = answers
        self.last_scored: list[ScoredRanking] = []
        self.model = _open_model(config)
        self.description = RewardModelDescription(conversation_format(config.data))
        session.keep_the_same("dtype", str(self.model.dtype).removeprefix("torch."))
        _check_length(config, self.model, comparisons)
        self.reference_rollouts = self._reference_rollouts()

    def train(self) -> None:
        """Every step that is left, then the calibration."""
        config, section = self.config, self.config.preference
        for remark in self.comparisons.remarks:
            self.session.view.note(remark)
        self.session.view.note(self._plan_in_words())
        learner = RunLearner(
            self.session, self.model, config.optimizer, config.compute, num_updates=self.session.num_steps
        )
        train_supervised(
            config,
            self.session,
            learner,
            Supervision(
                batch_of_step=self.batch_of_step,
                objective=PreferenceRanking(
                    kind=section.kind,
                    margin=section.margin,
                    label_smoothing=section.label_smoothing,
                    ties=section.ties,
                    center_coef=section.center_coef,
                ),
                measure=self.measure,
                measure_every=config.evaluation.every_steps,
                write_model=self.write_model,
                finish=self.finish,
                shown=_SHOWN,
            ),
        )

    def batch_of_step(self, step: int) -> tuple[PreferenceBatch, dict[str, float]]:
        """The rankings of a step, and how far into the data it is."""
        batch = self.comparisons.batch(self.order.of_step(step))
        return batch, {"epoch": (step - 1) / self.order.steps_per_epoch}

    def scored_held_out(self) -> list[ScoredRanking]:
        """Every held-out ranking with the raw scores of the weights as they are."""
        held_out = self.comparisons.held_out
        scores = iter(self._scores([rollout for item in held_out for rollout in item.rollouts]))
        return [
            ScoredRanking(
                prompt=prompt_key(item.ranking),
                ranks=item.ranking.ranks,
                scores=tuple(next(scores) for _ in item.rollouts),
                lengths=tuple(len(rollout.response_ids) for rollout in item.rollouts),
                annotator=item.ranking.annotator,
            )
            for item in held_out
        ]

    def measure(self) -> dict[str, Any]:
        """The held-out numbers; {} where nothing is held out."""
        if not self.comparisons.held_out:
            return {}
        self.last_scored = self.scored_held_out()
        return measure_preferences(self.last_scored)

    def finish(self) -> None:
        """Calibrates the trained model, and draws what it does on held-out comparisons."""
        scores = self._scores(self.reference_rollouts)
        self.description = replace(
            self.description, calibration=Calibration.of_scores(scores, self.answers.what)
        )
        if self.comparisons.held_out:
            # A run that was killed behind its last measurement has not scored in this start.
            scored = self.last_scored or self.scored_held_out()
            draw_preferences(scored, self.session.folder.path / PICTURE, title=self.session.title)

    def _reference_rollouts(self) -> list[Rollout]:
        """The reference answers that the model can read. DataError when they are too few to calibrate on."""
        conversation, tokenizer = self.description.conversation, self.model.tokenizer
        prompts = conversation.encode_prompts([prompt for prompt, _ in self.answers.answers], tokenizer)
        limit = self.model.max_length or self.config.data.max_length
        found = [
            Rollout(prompt, 0, ids, (), "eos", text, policy_version=0)
            for prompt, (_, text) in zip(prompts, self.answers.answers, strict=True)
            if len(prompt.token_ids) + len(ids := conversation.encode_response(text, tokenizer)) <= limit
        ]
        if len(found) < 2:
            raise DataError(
                f"{len(found)} of the {self.answers.what} can be read in {limit} tokens, and a mean and a scale "
                "need 2 at least. Name a file with more answers in calibration.path."
            )
        return found

    def write_model(self, folder: Path) -> None:
        """Weights, tokenizer, and how they are to be read; calibrated once the run has finished."""
        self.model.save(folder)
        self.description.write(folder)

    def _scores(self, rollouts: list[Rollout]) -> list[float]:
        return raw_scores(self.model, TokenBatch.from_rollouts(rollouts))

    def _plan_in_words(self) -> str:
        comparisons, steps = self.comparisons, self.session.num_steps
        return (
            f"{count_text(len(comparisons.train), 'ranking')} to train on, {len(comparisons.held_out)} held out; "
            f"up to {self.config.rankings_per_step} a step, {count_text(steps, 'step')}, "
            f"{count_text(steps / self.order.steps_per_epoch, 'epoch')}; "
            f"{self.model.device}, {str(self.model.dtype).removeprefix('torch.')}"
        )


def _open_model(config: RewardModelConfig) -> ScalarModel:
    """The reward model to go on from, or a new head on the language model; with an adapter if one is asked for."""
    hide_progress_bars()
    device = resolve_device(config.compute.device)
    dtype = resolve_dtype(config.compute.dtype, device)
    model = load_trunk_for_scalars(config.model, dtype=dtype, device=device, head="normal", seed=config.seed)
    if config.lora is not None:
        add_lora_to_scalar_model(
            model, config.lora.r, config.lora.alpha, config.lora.targets, seed=config.seed
        )
    if config.compute.gradient_checkpointing:
        checkpoint_gradients(model.model, model.model)
    return model


def _reference_answers(config: RewardModelConfig, comparisons: Comparisons) -> _Answers:
    path, count = config.calibration.path, config.calibration.num_answers
    if path is None:
        answers = best_ranked(item.ranking for item in comparisons.train)
        drawn = drawn_by_content(answers, count)
        return _Answers(drawn, f"{len(drawn)} best-ranked training responses")
    drawn = drawn_by_content(load_reference_answers(path), count)
    return _Answers(drawn, f"{len(drawn)} answers of {path.name}")


def _check_same_data(session: TrainingSession, comparisons: Comparisons, answers: _Answers) -> None:
    """ConfigError when an earlier start of this run was of other comparisons or reference answers."""
    digest = hashlib.sha256(comparisons.fingerprint.encode())
    digest.update(repr([(prompt.content, text) for prompt, text in answers.answers]).encode())
    session.keep_the_same(
        "data",
        digest.hexdigest(),
        refusal="the comparisons of this run have changed since it was started (trained on, held out or calibrated on; "
        "or the tokenizer has): another experiment. Restore the data, or choose another output folder.",
    )


def _check_length(config: RewardModelConfig, model: ScalarModel, comparisons: Comparisons) -> None:
    if model.max_length is not None and comparisons.longest > model.max_length:
        raise ConfigError(
            f"the longest prompt with its response has {comparisons.longest} tokens, and {config.model} was made "
            f"for {model.max_length}. Set data.max_length = {model.max_length}."
        )
