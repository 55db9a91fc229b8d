"""The settings of the PPO recipe, and presets that hold what the note says and what is usual."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from posttrain.config.presets import PresetSection
from posttrain.config.reinforcement import ReinforcementConfig
from posttrain.config.sections import OptimizerSection, Section

PPOPresetName = Literal["note", "instructgpt"]

PPO_PRESETS: dict[str, dict[str, Any]] = {
    # The note to the letter: L_clip + w1 H - w2 KL - w3 L(critic), the critic trained towards the final reward,
    # partial responses earn 0, D_KL(pi_orig || pi_theta) over the whole vocabulary, nothing clipped or whitened
    # but the ratio. Its example of clipping has epsilon = 0.2, and it calls lambda = 0.9 a good compromise.
    # It leaves open the weights and K. w1 = 0.01 and w3 = 1 are the PPO paper's (arXiv 1707.06347, table 5: c2, c1);
    # w2 = 0.02 is InstructGPT's; K reaches to the end of the response.
    "note": {
        "clip_low": 0.2,
        "clip_high": 0.2,
        "gamma": 1.0,
        "gae_lambda": 0.9,
        "horizon": None,
        "whiten_advantages": False,
        "critic_target": "reward",
        "value_clip": None,
        "kl": "exact_forward",
        "kl_in": "loss",
        "kl_coef": 0.02,
        "entropy_coef": 0.01,
        "value_coef": 1.0,
        "overlong": "zero",
    },
    # What is usual after InstructGPT (arXiv 2203.02155, appendix C.4: no discount, ratio clip 0.2, KL weight 0.02 in
    # the reward of each token, the critic starts from the reward model) and its reproduction (arXiv 2403.17031:
    # k1, lambda 0.95, value clip 0.2, whitened advantages, no entropy bonus, value weight 0.1 before an error with
    # 1/2, which is 0.05 before ours). Cut responses are scored as they stand: neither says that they are not.
    "instructgpt": {
        "clip_low": 0.2,
        "clip_high": 0.2,
        "gamma": 1.0,
        "gae_lambda": 0.95,
        "horizon": None,
        "whiten_advantages": True,
        "critic_target": "return",
        "value_clip": 0.2,
        "kl": "k1",
        "kl_in": "reward",
        "kl_coef": 0.02,
        "entropy_coef": 0.0,
        "value_coef": 0.05,
        "overlong": "score",
    },
}
"""Preset name -> every setting of `PPOAlgorithmSection` that the source speaks of."""


class PPOAlgorithmSection(PresetSection):
    """Advantages x clip rules x critic target x KL x entropy; a preset names a source, other keys override."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PPO_PRESETS

    preset: PPOPresetName = "instructgpt"
    """note (the PPO & GRPO note to the letter) or instructgpt (the usual practice)."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    """Ratios below 1 - clip_low get no further push down."""
    clip_high: float = Field(0.2, gt=0)
    """Ratios above 1 + clip_high get no further push up."""
    dual_clip: float | None = Field(None, gt=1)
    """Bounds the loss of bad tokens that became much more likely (arXiv 1912.09729); 3 is usual."""
    gamma: float = Field(1.0, ge=0, le=1)
    """Discount of a token's reward, per token; 1 is nearly always right for responses."""
    gae_lambda: float = Field(0.95, ge=0, le=1)
    """1 trusts the sampled end (Monte Carlo: no bias, noise), 0 the critic's next word (TD: bias, little noise)."""
    critic_lambda: float | None = Field(None, ge=0, le=1)
    """The same for the critic's own targets when critic_target = "return" (arXiv 2503.01491 uses 1); by default
    gae_lambda."""
    horizon: int | None = Field(None, ge=1)
    """K, the TD steps that are added up; "none" sums to the end of the response."""
    whiten_advantages: bool = True
    """Shift and scale all advantages of a step to mean 0 and standard deviation 1."""
    critic_target: Literal["reward", "return"] = "return"
    """What the critic learns to predict: the final reward at every state (the note), or advantage + old value."""
    value_clip: float | None = Field(0.2, gt=0)
    """A value that leaves its old one by more than this gets no further credit; "none" does not clip."""
    kl_coef: float = Field(0.02, ge=0)
    """w2, the weight of the KL to the reference (the starting model); at 0 no reference is loaded or run."""
    kl: Literal["k1", "k2", "k3", "exact_forward", "exact_reverse"] = "k1"
    """exact_*: over the whole vocabulary; forward is D(reference || policy), the note's. As a loss on the policy's own
    samples, k1 has zero gradient, k2 has that of the reverse KL, k3 that of the forward KL."""
    kl_in: Literal["loss", "reward"] = "reward"
    """Where the KL acts: a term of the loss, or taken off each token's reward."""
    kl_target: float | None = Field(None, gt=0)
    """Adapt kl_coef so that the KL of a whole response stays near this many nats (arXiv 1909.08593, 6 there)."""
    kl_horizon: int = Field(10_000, ge=1)
    """Responses over which kl_coef adapts to kl_target."""
    entropy_coef: float = Field(0.0, ge=0)
    """w1, the weight of the exact entropy bonus."""
    value_coef: float = Field(0.05, gt=0)
    """w3, the weight of the critic's error, which has no 1/2. It matters where the critic is a head on the policy; Adam
    takes it out of the steps of a critic of its own, up to gradient clipping."""
    overlong: Literal["zero", "score", "bootstrap", "mask"] = "score"
    """Responses cut by length: reward 0 (the note); the score as they stand; no score, but the critic's value of where
    they stopped; do not train on them."""
    importance_cap: float | None = Field(None, gt=0)
    """Weighs tokens by min(learner / engine probability, cap), detached, for an engine that computes in other
    ways than the learner. The engine in this process does not, so the default is off; 2 is usual."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kl_in == "reward" and self.kl_coef > 0 and self.critic_target == "reward":
            raise ValueError(
                'algorithm.critic_target = "reward" predicts the score alone, but kl_in = "reward" pays the score '
                'less the KL, so the critic would be wrong by the KL. Set critic_target = "return", or kl_in = "loss".'
            )
        if self.kl_target is not None and self.kl_coef == 0:
            raise ValueError(
                "algorithm.kl_target adapts kl_coef by factors, and kl_coef = 0 stays 0. Set kl_coef to where it "
                "should start, for example 0.02."
            )
        if self.critic_lambda is not None and self.critic_target == "reward":
            raise ValueError(
                'algorithm.critic_lambda belongs to critic_target = "return"; the target "reward" has no lambda. '
                "Remove it."
            )
        return self


class CriticOptimizerSection(OptimizerSection):
    """AdamW of the critic, which may learn faster than the policy."""

    learning_rate: float = Field(1e-5, gt=0)
    """Peak learning rate."""


class CriticSection(Section):
    """The value model: how well a response will end, told from its beginning."""

    kind: Literal["own", "head"] = "own"
    """own: a second network. head: one linear layer on the policy's last hidden states, trained in one loss with it."""
    start: str = "auto"
    """What the critic starts from: policy (with a new head), or the folder or Hub id of a reward model, a value
    model or a language model, of any width, with the policy's vocabulary. For a head: policy, or the folder of a
    run's model/ with a value_head.safetensors of the policy's width. auto: the trunk of the reward model, with a new
    head, where the preset is instructgpt and there is one, otherwise the policy. A reward or value model that is
    named here keeps its head."""
    optimizer: CriticOptimizerSection = CriticOptimizerSection()
    """The critic's own learning rate and schedule. Of a head only these two matter: it is one model with the policy."""
    head_learning_rate: float | None = Field(None, gt=0)
    """Of the last layer of a critic of its own, by default the optimizer's: a new one starts from zeros, and at a
    trunk's rate it needs many steps to reach the level of the rewards."""
    policy_starts_after_steps: int = Field(0, ge=0)
    """Steps at the start in which only the critic is trained, so that the first advantages are not noise."""

    @field_validator("start")
    @classmethod
    def _from_anywhere(cls, start: str) -> str:
        """A folder becomes an absolute path, so that a run can be resumed from another one."""
        path = Path(start).expanduser()
        return str(path.absolute()) if path.is_dir() and start not in ("auto", "policy") else start

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "head" and self.policy_starts_after_steps > 0:
            raise ValueError(
                "critic.policy_starts_after_steps needs a critic of its own: a head shares its trunk with the policy, "
                'so it cannot be trained while that stands still. Set kind = "own", or raise '
                "critic.optimizer.learning_rate."
            )
        if self.kind == "head" and self.head_learning_rate is not None:
            raise ValueError(
                "critic.head_learning_rate is for a critic of its own; a critic that is a head has the rate "
                "critic.optimizer.learning_rate. Set that one."
            )
        return self


class PPOConfig(ReinforcementConfig):
    """Proximal policy optimisation: generate, score, advantages against a critic, policy, critic."""

    output: Path = Path("runs/ppo")
    """Folder of the run: configuration, metrics, samples, checkpoints, and the trained model."""
    prompts_per_step: int = Field(64, ge=1)
    """Prompts in a step."""
    responses_per_prompt: int = Field(1, ge=1)
    """Responses to each; the critic, not the other responses, is what a response is compared with."""
    algorithm: PPOAlgorithmSection = PPOAlgorithmSection()
    critic: CriticSection = CriticSection()

    @model_validator(mode="after")
    def _policy_starts(self) -> Self:
        if self.critic.policy_starts_after_steps >= self.steps:
            raise ValueError(
                f"critic.policy_starts_after_steps = {self.critic.policy_starts_after_steps} leaves nothing of the "
                f"{self.steps} steps for the policy. Lower it, or raise steps."
            )
        return self

    @property
    def critic_start(self) -> str:
        """What the critic starts from, with "auto" resolved: "policy" or a model's name."""
        if self.critic.start != "auto":
            return self.critic.start
        if self.algorithm.preset == "note" or self.critic.kind == "head":
            return "policy"
        models = [term.model for term in self.reward.terms if getattr(term, "model", None)]
        return str(models[0]) if models else "policy"
