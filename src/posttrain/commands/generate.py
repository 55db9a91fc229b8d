"""`posttrain generate`: responses of a model to prompts of yours, printed or written as JSONL."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from posttrain.commands.output_file import check_output, write_output
from posttrain.config.inference import GenerateConfig
from posttrain.config.sections import DataSection
from posttrain.errors import ConfigError
from posttrain.evaluation.printable import printable
from posttrain.recipes.prompts import Prompts, RenderedPrompts, open_prompts
from posttrain.recipes.setup import load_policy, sampling_of
from posttrain.rollouts.torch_engine import TorchEngine
from posttrain.runs.metric_names import count_text
from posttrain.types import Prompt, Rollout


def generate_responses(config: GenerateConfig) -> None:
    """Samples, and prints each response, or writes one JSON object a line to `config.output`."""
    prompts = _prompts(config)
    check_output(config.output)
    policy = load_policy(config.model, config.compute)
    console = Console(stderr=True)
    if len(prompts.held_out) > config.num_prompts:
        console.print(
            f"{config.num_prompts} of {count_text(len(prompts.held_out), 'prompt')}; --num-prompts for more"
        )
    rendered = RenderedPrompts(
        prompts,
        policy.tokenizer,
        seed=config.seed,
        num_held_out=config.num_prompts,
        note=lambda text: console.print(text, markup=False),
    )
    sampling = sampling_of(config.sampling, policy, config.seed)
    engine = TorchEngine(policy, shares_weights=True, max_rows=config.compute.rollout_rows)
    with console.status("generating ..."):
        rollouts = engine.generate(rendered.held_out, sampling, config.responses_per_prompt)
    if config.output is not None:
        lines = [json.dumps(_row(rollout), ensure_ascii=False) for rollout in rollouts]
        write_output(config.output, "\n".join(lines) + "\n")
        console.print(f"{count_text(len(rollouts), 'response')} in {config.output}", highlight=False)
        return
    for rollout in rollouts:
        if rollout.sample_index == 0:
            print(f"\n> {printable(str(rollout.prompt.content), keep_newlines=True)}")
        cut = " [cut]" if rollout.finish_reason == "length" else ""
        print(f"{rollout.sample_index + 1}. {printable(rollout.text, keep_newlines=True)}{cut}")


def _prompts(config: GenerateConfig) -> Prompts:
    if (config.prompt is None) == (config.data is None):
        raise ConfigError(
            'give either --prompt "What is 3 + 4?" or a source of prompts (--data.path or --data.task)'
        )
    if config.data is not None:
        opened = open_prompts(config.data, config.seed)
        # Everything may be answered here: a file's own rows, a task's held-out problems.
        return opened.to_be_answered(opened.held_out or opened.train)
    assert config.prompt is not None
    prompt = [Prompt("prompt", config.prompt)]
    return Prompts(DataSection(held_out_path=Path("-")), [], prompt, verifier=None)


def _row(rollout: Rollout) -> dict[str, object]:
    return {
        "prompt_id": rollout.prompt.prompt_id,
        "prompt": rollout.prompt.content,
        "completion": rollout.text,
        "sample": rollout.sample_index,
        "finish_reason": rollout.finish_reason,
        "num_tokens": len(rollout.response_ids),
        "logprob": sum(rollout.rollout_logprobs),
        **{name: value for name, value in rollout.prompt.columns.items() if name != "prompt"},
    }
