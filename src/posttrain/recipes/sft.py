"""Supervised fine-tuning: cross-entropy of what the assistant says, and of the token that ends its turn.

    demonstrations -> tokens and targets -> (permutation of the epoch -> packed rows -> update) x steps -> model

A step's gradient is the mean over its targets: a long answer weighs more than a short one, as in pre-training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from posttrain.batches import PackedBatch
from posttrain.config.sft import SFTConfig
from posttrain.data.example_order import ExampleOrder
from posttrain.errors import DataError
from posttrain.models.language_model import LanguageModel
from posttrain.models.target_predictions import predict_targets
from posttrain.models.tokenizer_loading import load_tokenizer
from posttrain.recipes.demonstrations import (
    EncodedData,
    open_demonstrations,
    packed_batch,
    packing_in_words,
    use_template_of_file,
)
from posttrain.recipes.learners import RunLearner, may_change_on_resume
from posttrain.recipes.session import TrainingSession
from posttrain.recipes.setup import load_policy
from posttrain.recipes.supervised import (
    SupervisedResult,
    Supervision,
    supervised_result,
    train_supervised,
)
from posttrain.runs.metric_names import count_text
from posttrain.training.next_token_objective import NextToken

MEASURED_TOKENS = 4096
"""Padded tokens of one forward pass over held-out examples; fixed, so that a measurement can be repeated."""


def sft(config: SFTConfig) -> SupervisedResult:
    """Fine-tunes `config.model` on demonstrations, or goes on with the run in `config.output`.

    The held-out numbers are `loss` (nats per target), `token_accuracy` and `perplexity`. Raises ConfigError,
    DataError or ModelError with what to do about it. Ctrl-C ends the run after the current step, saved.
    """
    tokenizer = load_tokenizer(config.model)
    use_template_of_file(config.data, tokenizer)
    run = _Run(config, open_demonstrations(config.data, tokenizer))
    with TrainingSession(
        config,
        title=f"sft {config.model}",
        num_steps=run.num_steps,
        may_change=may_change_on_resume(config.optimizer),
    ) as session:
        if not session.is_complete:
            run.train(session)
        return supervised_result(session)


@dataclass
class _Run:
    """The parts of one run, wired together."""

    config: SFTConfig
    data: EncodedData

    @cached_property
    def order(self) -> ExampleOrder:
        """Which examples each step takes."""
        config = self.config
        return ExampleOrder(
            len(self.data.train), examples_per_step=config.examples_per_step, seed=config.seed
        )

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return self.config.steps or self.config.epochs * self.order.steps_per_epoch

    def train(self, session: TrainingSession) -> None:
        """Loads the model, says what it will learn from, and does the steps that are left."""
        config = self.config
        self._keep_the_data(session)
        self._say_what_there_is(session)
        policy = load_policy(config.model, config.compute, config.lora, seed=config.seed)
        use_template_of_file(config.data, policy.tokenizer)  # it is saved with the model
        session.keep_the_same("dtype", str(policy.dtype).removeprefix("torch."))
        self._check_lengths(policy)
        learner = RunLearner(session, policy, config.optimizer, config.compute, num_updates=self.num_steps)
        supervision = Supervision(
            batch_of_step=self.batch_of_step,
            objective=NextToken(),
            measure=lambda: self.measure(policy),
            measure_every=config.evaluation.every_steps,
            write_model=policy.save,
        )
        train_supervised(config, session, learner, supervision)

    def batch_of_step(self, step: int) -> tuple[PackedBatch, Mapping[str, float]]:
        """The step's examples in packed rows, and what to log of them."""
        examples = [self.data.train[number] for number in self.order.of_step(step)]
        batch = packed_batch(examples, self.config.data)
        about = {
            "epoch": step / self.order.steps_per_epoch,
            "examples": float(len(examples)),
            "targets": float(batch.num_targets),
            "filled_share": float(batch.lengths.sum()) / batch.token_ids.numel(),
        }
        return batch, about

    def measure(self, policy: LanguageModel) -> dict[str, float]:
        """The held-out numbers of the weights as they are; {} where nothing is held out."""
        if not self.data.held_out:
            return {}
        found = predict_targets(policy, self._held_out_batches)
        return {
            "loss": found.loss,
            "token_accuracy": found.accuracy,
            "perplexity": math.exp(min(found.loss, 700.0)),  # e^710 is no float any more
            "num_targets": float(found.num_targets),
        }

    @cached_property
    def _held_out_batches(self) -> list[PackedBatch]:
        measured = self.data.held_out[: self.config.evaluation.max_examples]
        packed = packed_batch(measured, self.config.data)
        num_rows = max(1, MEASURED_TOKENS // packed.token_ids.shape[1])
        return [
            packed.select(range(start, min(start + num_rows, len(packed))))
            for start in range(0, len(packed), num_rows)
        ]

    def _keep_the_data(self, session: TrainingSession) -> None:
        session.keep_the_same(
            "data",
            self.data.fingerprint,
            refusal=f"the demonstrations in {self.config.data.path}, or those that are held out, are not those that "
            "this run was started with: another experiment. Restore the data, or choose another output folder.",
        )

    def _say_what_there_is(self, session: TrainingSession) -> None:
        config, order = self.config, self.order
        for line in self.data.in_words(config.data.max_length):
            session.view.note(line)
        epoch = [
            [self.data.train[number] for number in order.of_step(step)]
            for step in range(1, order.steps_per_epoch + 1)
        ]
        session.view.note(packing_in_words(epoch, config.data))
        session.view.note(
            f"{count_text(self.num_steps, 'step')}, {count_text(self.num_steps / order.steps_per_epoch, 'epoch')} of "
            f"{count_text(order.steps_per_epoch, 'step')} with up to {count_text(config.examples_per_step, 'example')}"
        )
        if not self.data.held_out:
            session.view.note("nothing is held out: only the training loss will be known")

    def _check_lengths(self, policy: LanguageModel) -> None:
        longest = self.data.longest
        if policy.max_length is not None and len(longest.token_ids) > policy.max_length:
            raise DataError(
                f"{longest.demonstration_id} has {len(longest.token_ids)} tokens, and the model was made for "
                f"{policy.max_length}. Set data.max_length = {policy.max_length} or less."
            )
