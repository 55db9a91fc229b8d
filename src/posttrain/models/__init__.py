"""Hugging Face causal language models come in and go out.

A name becomes a `LanguageModel` (`load_language_model`), which says how probable responses are
(`token_statistics`, `logprobs`), hands its weights to an engine (`named_weights`) and saves itself (`save`).
`add_lora` puts an adapter on it; `FrozenReference` is the policy as it was at the start.
"""

from posttrain.models.language_model import LanguageModel, ResponseStatistics, statistics_of_hidden
from posttrain.models.loading import load_language_model
from posttrain.models.lora import add_lora
from posttrain.models.output_head import OutputHead
from posttrain.models.reference import FrozenReference
from posttrain.models.smollm2 import SMOLLM2, packaged_gguf, resolve_smollm2

__all__ = [
    "SMOLLM2",
    "FrozenReference",
    "LanguageModel",
    "OutputHead",
    "ResponseStatistics",
    "add_lora",
    "load_language_model",
    "packaged_gguf",
    "resolve_smollm2",
    "statistics_of_hidden",
]
