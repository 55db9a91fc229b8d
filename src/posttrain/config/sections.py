"""The sections of a configuration file that recipes share: each setting's meaning, default and limits.

A default stands here and nowhere else. Nothing heavy is imported: `--help` reads these classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator


def _from_anywhere(path: Path) -> Path:
    return path.expanduser().absolute()


AnywherePath = Annotated[Path, AfterValidator(_from_anywhere)]
"""A path that is made absolute when it is read, so that a run can be resumed and evaluated from another folder."""


class Section(BaseModel):
    """Frozen settings that refuse keys they do not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _none_is_spelled_out(cls, given: Any) -> Any:
        """TOML and the command line have no null: the word "none" stands for it where nothing is allowed."""
        if not isinstance(given, dict):
            return given
        return {
            name: None if value == "none" and name in cls.model_fields and _allows_none(cls, name) else value
            for name, value in given.items()
        }


def as_toml_values(section: Section) -> dict[str, Any]:
    """The settings as TOML can hold them and `load_config` reads them back: "none" where None is not the default."""
    values: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            values[name] = as_toml_values(value)
        elif value is not None:
            values[name] = section.model_dump(mode="json", include={name}, exclude_none=True)[name]
        elif field.default is not None:
            values[name] = "none"
    return values


def _allows_none(section: type[BaseModel], name: str) -> bool:
    return type(None) in get_args(section.model_fields[name].annotation)


class PromptFormatSection(Section):
    """How what is asked becomes the text that a model reads."""

    system_prompt: str | None = None
    """Put before every prompt as a system message unless it brings its own, for models with a chat template."""
    text_format: str | None = None
    """For models without a chat template: text with {prompt} in it, for example "Question: {prompt} Answer:"."""
    use_chat_template: bool | None = None
    """Whether to render prompts with the model's chat template; by default where it has one."""


class PromptSourceSection(Section):
    """Where prompts come from: a file of yours, or a built-in task with a verifier."""

    path: AnywherePath | None = None
    """JSONL or Parquet with a column `prompt` (text or messages); further columns reach the reward."""
    held_out_path: AnywherePath | None = None
    """The same kind of file for evaluation; never trained on."""
    task: str | None = None
    """A built-in task instead of a file: sums, products, countdown, sorting, or reasoning_gym:NAME."""
    task_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the task, for example digits = 2."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.path is not None and self.task is not None:
            raise ValueError(
                "data.path and data.task are both set, but prompts come from one source. Remove one of them."
            )
        if self.path is None and self.task is None and self.held_out_path is None:
            raise ValueError(
                'no prompts: neither data.path nor data.task is set. Set data.path = "prompts.jsonl", or '
                'data.task = "sums".'
            )
        if self.task is None and self.task_options:
            raise ValueError("data.task_options belongs to data.task, which is not set. Remove it.")
        return self


class DataSection(PromptFormatSection, PromptSourceSection):  # settings of the last base stand first
    """The prompts of a run: where they come from, and how they become what the model reads."""

    max_prompt_tokens: int = Field(1024, ge=1)
    """Longer prompts are left out and counted."""


class SamplingSection(Section):
    """How responses are drawn. What is trained is what is sampled: softmax(logits / temperature)."""

    temperature: float = Field(1.0, gt=0, le=100)
    """Divides the logits, in sampling and in training alike."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Keep the most likely tokens that hold this share of probability; 1 keeps all."""
    top_k: int = Field(0, ge=0)
    """Keep only the k most likely tokens; 0 keeps all."""
    min_p: float = Field(0.0, ge=0, le=1)
    """Keep tokens at least this likely, relative to the most likely one; 0 keeps all."""
    max_new_tokens: int = Field(256, ge=1)
    """A response is cut after this many tokens."""
    stop: tuple[str, ...] = ()
    """A response ends where one of these strings appears; the text before it is what counts."""


class RewardTermSection(Section):
    """One term of the reward: a verifier by name, a function from a file, or a reward model."""

    name: str | None = None
    """A built-in verifier: exact_answer, format_reward, length_reward, regular_expression, contains, ..."""
    function: str | None = None
    """A function of yours, "file.py:function": TRL-style f(prompts, completions, **columns)."""
    style: Literal["trl", "verl", "verifier"] = "trl"
    """Calling convention of `function`: trl is f(prompts, completions, **columns), verl is
    compute_score(data_source, solution_str, ground_truth), verifier is f(completion, columns)."""
    model: str | None = None
    """A reward model: the `model` folder of a reward_model run, or a Hub id of a classifier with one label. It
    scores complete responses; one that was cut by length earns 0."""
    normalize: bool = True
    """Scores of `model` as (score - mean) / scale of the reference answers that it was calibrated on."""
    weight: float = 1.0
    """The reward is the weighted sum of the terms."""
    label: str | None = None
    """What the term is called in the log; by default its name."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of a built-in verifier."""

    @field_validator("function")
    @classmethod
    def _function_from_anywhere(cls, function: str | None) -> str | None:
        """With an absolute path, so that a run can be resumed and evaluated from another folder."""
        if function is None or ":" not in function:
            return function
        path, _, name = function.rpartition(":")
        return f"{_from_anywhere(Path(path))}:{name}"

    @field_validator("model")
    @classmethod
    def _folder_from_anywhere(cls, model: str | None) -> str | None:
        """A folder with its absolute path, a Hub id as it is."""
        if model is None or not Path(model).expanduser().exists():
            return model
        return str(_from_anywhere(Path(model)))

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(kind is not None for kind in (self.name, self.function, self.model)) != 1:
            raise ValueError(
                'a reward term needs one of name = "exact_answer" (a built-in verifier), '
                'function = "rewards.py:my_reward" (yours) and model = "runs/reward_model/model" (a reward model)'
            )
        if self.model is None and not self.normalize:
            raise ValueError(
                "normalize is for a reward term with `model`, which this one has not. Remove it."
            )
        return self


class RewardSection(Section):
    """What a response is worth, and what happens when that cannot be found out."""

    terms: tuple[RewardTermSection, ...] = ()
    """What is summed up, for example [{name = "exact_answer"}, {function = "file.py:name", weight = 0.5}]. Empty: the
    own verifier of data.task."""
    max_unscored_share: float = Field(0.1, ge=0, le=1)
    """The run stops with the first error when more than this share of a step could not be scored."""
    time_limit_seconds: float = Field(30.0, gt=0)
    """A call of a function of yours that takes longer is killed."""
    memory_limit_mb: int | None = Field(8192, ge=64)
    """Address space of one worker process that runs a function of yours; "none" for no limit."""
    num_workers: int = Field(1, ge=1)
    """Processes that run functions of yours."""


class LoraSection(Section):
    """Train a low-rank adapter (through peft) and leave the model itself as it is."""

    r: int = Field(16, ge=1)
    """Rank. Any setting of [lora] switches the adapter on; without one all weights are trained."""
    alpha: float = Field(32.0, gt=0)
    """Scale: the adapter's output is multiplied by alpha / r."""
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the layers that get an adapter."""


class OptimizerSection(Section):
    """AdamW; the schedule counts optimiser steps."""

    learning_rate: float = Field(1e-6, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled; not applied to norms and biases."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Decay of the second moment."""
    epsilon: float = Field(1e-8, gt=0)
    """Added to the root of the second moment."""
    max_grad_norm: float | None = Field(1.0, gt=0)
    """Gradients are scaled down to this global norm; "none" turns it off."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """What happens after the warm-up: nothing, or a fall to final_share of the peak at the last step."""
    warmup_steps: int = Field(0, ge=0)
    """Optimiser steps in which the learning rate rises from 0."""
    warmup_share: float = Field(0.0, ge=0, le=1)
    """The same as a share of all steps; used where warmup_steps is 0."""
    final_share: float = Field(0.0, ge=0, le=1)
    """Learning rate at the end of a linear or cosine schedule, as a share of the peak."""


class ComputeSection(Section):
    """Where and how numbers are computed."""

    device: str = "auto"
    """auto (a CUDA GPU if there is one), cpu, cuda, cuda:1."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the forward and backward pass; weights are kept in float32 too. auto: bfloat16 where it is fast."""
    microbatch_tokens: int | Literal["auto"] = "auto"
    """Tokens in one forward and backward pass; auto finds the number by measuring."""
    rollout_rows: int = Field(256, ge=1)
    """Responses that are generated side by side at most."""
    gradient_checkpointing: bool = False
    """Less memory for longer responses, at about a third more time."""


class EvaluationSize(Section):
    """How much is sampled for a held-out score."""

    num_prompts: int = Field(64, ge=1)
    """Prompts of the held-out set that are used; all of them when there are fewer."""
    samples_per_prompt: int = Field(4, ge=1)
    """Responses to each, drawn as in training but with random numbers of their own."""


class HeldOutRewardSection(RewardSection):
    """What held-out responses are judged by."""

    terms: tuple[RewardTermSection, ...] = ()
    """What is summed up, as in reward.terms. Without evaluation.reward it is what responses are trained by."""


class EvaluationSection(EvaluationSize):
    """Held-out score while training."""

    every_steps: int = Field(10, ge=0)
    """Steps between them; 0: only before and after."""
    reward: HeldOutRewardSection | None = None
    """What held-out responses are judged by; by default what they are trained by. With a reward model in `reward`,
    a rule here tells whether responses got better, or only dearer to that model (arXiv 2210.10760)."""


class CheckpointSection(Section):
    """What survives a crash."""

    every_steps: int = Field(10, ge=1)
    """Steps between checkpoints; the last step is always saved."""
    keep: int = Field(2, ge=1)
    """Newest checkpoints that are kept."""


class RecipeConfig(Section):
    """What every training recipe's configuration has."""

    model: str = "smollm2"
    """smollm2 (the embedded SmolLM2-135M-Instruct), a Hub id, a local folder, or a GGUF file."""
    output: Path
    """Folder of the run: configuration, metrics, samples, checkpoints, and the trained model."""
    seed: int = Field(0, ge=0)
    """Names every random number of the run."""
    checkpoint: CheckpointSection = CheckpointSection()
