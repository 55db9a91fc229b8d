"""N responses for each prompt, in chunks that are on disk as soon as they are there.

    prompts -> chunk -> generate (-> distinct texts -> further draws) -> responses.jsonl

A response depends on the seed, its prompt and its number; a chunk is always the same prompts. So a run that was
killed goes on at its last whole chunk, and the file has the same bytes as that of an untouched run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import tomli_w
import torch

from posttrain.config.sample import SampleConfig
from posttrain.config.sections import as_toml_values
from posttrain.data.messages import with_system_prompt
from posttrain.data.prompt_stream import PromptStream
from posttrain.errors import DataError
from posttrain.preferences.sampled_prompt import OWN_COLUMNS, SampledPrompt, encode_sample, read_samples
from posttrain.recipes.earlier_samples import keep_the_same_dtype, refuse_another_experiment
from posttrain.recipes.prompts import Prompts, RenderedPrompts, open_prompts
from posttrain.recipes.sampled_store import SampledStore, open_sampled_store
from posttrain.recipes.setup import load_policy, sampling_of
from posttrain.rollouts.engine import RolloutEngine
from posttrain.rollouts.torch_engine import TorchEngine
from posttrain.runs.line_file import append_durably, count_lines, keep_lines
from posttrain.runs.live_view import LiveView
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.step_clock import StepClock
from posttrain.runs.stop_request import StopRequest
from posttrain.types import Prompt, Rollout, Sampling

RESPONSES = "responses.jsonl"
"""The file in the run's folder: one line a prompt, in the order of the prompts."""

_DONE = "prompts_and_lines"
"""Fact of a complete run: how many prompts there were, and lines for those that were not too long."""


@dataclass(frozen=True)
class SampleResult:
    """What a run came to; `num_duplicates` counts responses that an equal one of the same prompt made superfluous.

    `num_incomplete` counts prompts with fewer responses than were asked for, `is_complete` is False when the run
    was interrupted before its last prompt. With a store, `num_to_rank` prompts stand in it to be ranked, and
    `num_nothing_to_rank` do not, because their responses are all the same.
    """

    run_folder: Path
    responses_file: Path
    num_prompts: int
    num_responses: int
    num_duplicates: int
    num_incomplete: int
    is_complete: bool
    num_to_rank: int = 0
    num_nothing_to_rank: int = 0


def sample(config: SampleConfig) -> SampleResult:
    """Samples `config.responses_per_prompt` responses for each prompt, or goes on with the run in `config.output`.

    Raises ConfigError, DataError or ModelError with what to do about it. Ctrl-C ends after the current chunk.
    """
    prompts = _chosen(config)
    folder = RunFolder(config.output)
    file = folder.path / RESPONSES
    with folder.lock():
        refuse_another_experiment(config, folder, file, prompts.held_out)
        folder.write_config(tomli_w.dumps(as_toml_values(config)))
        is_complete = folder.read_facts().get(_DONE) == [len(prompts.held_out), count_lines(file)]
        with open_sampled_store(config, file, prompts.held_out) as store:
            if not is_complete:  # else no model is loaded
                is_complete = _Run.start(config, prompts, folder, file, store).answer()
                if is_complete:
                    done = [len(prompts.held_out), count_lines(file)]
                    folder.write_facts({**folder.read_facts(), _DONE: done})
    return _result(config, folder, file, store, is_complete=is_complete)


@dataclass
class _Run:
    """The parts of one start, wired together; `prompts` are all that are to be answered."""

    config: SampleConfig
    file: Path
    prompts: Sequence[Prompt]
    sampling: Sampling
    engine: RolloutEngine
    view: LiveView
    store: SampledStore

    @classmethod
    def start(
        cls, config: SampleConfig, prompts: Prompts, folder: RunFolder, file: Path, store: SampledStore
    ) -> _Run:
        """Loads the model and renders the prompts."""
        policy = load_policy(config.model, config.compute)
        keep_the_same_dtype(folder, str(policy.dtype).removeprefix("torch."))
        notes: list[str] = []
        rendered = RenderedPrompts(
            prompts,
            policy.tokenizer,
            seed=config.seed,
            num_held_out=len(prompts.held_out),
            note=notes.append,
        )
        rendered.check_lengths(config.sampling.max_new_tokens, policy.max_length)
        asked = rendered.held_out
        folder.record_session(
            seeds={"seed": config.seed}, device=str(policy.device), num_threads=torch.get_num_threads()
        )
        num_chunks = -(-len(asked) // config.prompts_per_chunk)
        view = LiveView(num_chunks, f"sample {config.model}")
        for text in notes:
            view.note(text)
        return cls(
            config=config,
            file=file,
            prompts=asked,
            sampling=sampling_of(config.sampling, policy, config.seed),
            engine=TorchEngine(policy, shares_weights=True, max_rows=config.compute.rollout_rows),
            view=view,
            store=store,
        )

    def answer(self) -> bool:
        """Answers the prompts that are left; False when Ctrl-C ended it before the last one."""
        size = self.config.prompts_per_chunk
        chunks = [self.prompts[start : start + size] for start in range(0, len(self.prompts), size)]
        num_done = count_lines(self.file) // size  # half a chunk is made again, with the same neighbours
        keep_lines(self.file, num_done * size)
        with ExitStack() as around:
            view = around.enter_context(self.view)
            stop = around.enter_context(
                StopRequest(lambda: view.note("stopping after this chunk (Ctrl-C again: stop at once)"))
            )
            if num_done:
                view.resume_at(num_done)
                view.note(f"going on after {num_done * size} of {len(self.prompts)} prompts")
            for index in range(num_done, len(chunks)):
                if stop.is_made:
                    view.note(
                        f"stopped after {index * size} of {len(self.prompts)} prompts, which are saved. "
                        "To go on, give the same command again."
                    )
                    return False
                self._answer_chunk(index, chunks[index])
        return True

    def _answer_chunk(self, index: int, chunk: Sequence[Prompt]) -> None:
        config, clock = self.config, StepClock()
        groups = clock.timed("generate_seconds", self._generate)(chunk, config.responses_per_prompt, 0)
        samples = [_kept(config, prompt, group) for prompt, group in zip(chunk, groups, strict=True)]
        lacking = [i for i, s in enumerate(samples) if len(s.responses) < config.responses_per_prompt]
        if config.further_draws and lacking:
            # Step 1: random numbers that the first draws of these prompts have not used.
            more = self._generate([chunk[i] for i in lacking], config.further_draws, 1)
            for i, group in zip(lacking, more, strict=True):
                samples[i] = _kept(config, chunk[i], [*groups[i], *group])
        append_durably(self.file, b"".join(map(encode_sample, samples)))
        self.store.add(samples)
        lengths = [len(rollout.response_ids) for group in groups for rollout in group]
        self.view.step(
            index + 1,
            {
                "response_length_mean": sum(lengths) / len(lengths),
                "response_length_max": max(lengths),
                "cut_share": sum(not r.is_complete for group in groups for r in group) / len(lengths),
            },
            {"tokens_per_second": sum(lengths) / max(clock.seconds["generate_seconds"], 1e-9)},
        )

    def _generate(self, prompts: Sequence[Prompt], count: int, step: int) -> list[list[Rollout]]:
        rollouts = self.engine.generate(
            prompts,
            self.sampling.at_step(step),
            count,
            progress=lambda done, total, _tokens: self.view.phase("generate", done, total),
        )
        return [rollouts[start : start + count] for start in range(0, len(rollouts), count)]


def _kept(config: SampleConfig, prompt: Prompt, drawn: Sequence[Rollout]) -> SampledPrompt:
    """The responses that are kept, in the order they were drawn; equal but for space around them is equal."""
    kept = list(drawn)
    if config.distinct:
        first: dict[str, Rollout] = {}
        for rollout in drawn:
            first.setdefault(rollout.text.strip(), rollout)
        kept = list(first.values())[: config.responses_per_prompt]
        # Draws after the last one that was needed were not asked for, and are not counted.
        if len(kept) == config.responses_per_prompt:
            last = max(index for index, rollout in enumerate(drawn) if rollout is kept[-1])
            drawn = drawn[: max(last + 1, config.responses_per_prompt)]
    return SampledPrompt(
        sample_id=prompt.prompt_id,
        prompt=with_system_prompt(prompt.content, config.data.system_prompt),
        responses=tuple(rollout.text for rollout in kept),
        finish_reasons=tuple(rollout.finish_reason for rollout in kept),
        num_drawn=len(drawn),
        model=config.model,
        columns=dict(prompt.columns),
    )


def _chosen(config: SampleConfig) -> Prompts:
    """The prompts to answer, not rendered. DataError for columns that a samples file cannot hold."""
    opened = open_prompts(config.data, config.seed, only_held_out=config.part == "held_out")
    found = opened.held_out if config.part == "held_out" else opened.train
    count = len(found) if config.num_prompts is None else min(config.num_prompts, len(found))
    is_file = config.data.task is None or (config.part == "held_out" and config.data.held_out_path)
    # The beginning of a task's list is the problems that start with 0.
    taken = list(found[:count]) if is_file else PromptStream(found, seed=config.seed).take(count)
    for prompt in taken:
        _check_columns(prompt)
    return opened.to_be_answered(taken)


def _check_columns(prompt: Prompt) -> None:
    if taken := sorted(set(prompt.columns) & set(OWN_COLUMNS)):
        raise DataError(
            f"the prompt {prompt.prompt_id!r} has a column {taken[0]!r}, which a samples file uses itself "
            f"({', '.join(OWN_COLUMNS)}). Rename it in the data."
        )
    try:
        json.dumps(dict(prompt.columns), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the columns of the prompt {prompt.prompt_id!r} cannot be written as JSON: {error}. Change the data."
        ) from error


def _result(
    config: SampleConfig, folder: RunFolder, file: Path, store: SampledStore, *, is_complete: bool
) -> SampleResult:
    samples = read_samples(file) if count_lines(file) else []
    return SampleResult(
        run_folder=folder.path,
        responses_file=file,
        num_prompts=len(samples),
        num_responses=sum(len(sample.responses) for sample in samples),
        num_duplicates=sum(sample.num_duplicates for sample in samples),
        num_incomplete=sum(len(sample.responses) < config.responses_per_prompt for sample in samples),
        is_complete=is_complete,
        num_to_rank=store.num_items,
        num_nothing_to_rank=store.num_nothing_to_rank,
    )
