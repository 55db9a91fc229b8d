"""What a pre-trained model writes when nothing is asked: the beginning of a document."""

from __future__ import annotations

from pathlib import Path

from posttrain.config.sections import ComputeSection, SamplingSection
from posttrain.data.tokenizer_training import document_ends
from posttrain.recipes.setup import load_policy, sampling_of
from posttrain.rollouts.torch_engine import TorchEngine
from posttrain.types import Prompt

SAMPLE_TOKENS = 200
SAMPLE_TEMPERATURE = 0.8


def sample_text(model_folder: Path, compute: ComputeSection, seed: int) -> tuple[str, int]:
    """What the model writes behind the token that begins a document, and how many tokens it was given.

    The first draw of this seed; no longer than what the model says it reads.
    """
    model = load_policy(str(model_folder), compute)
    start = document_ends(model.tokenizer).start_id
    room = SAMPLE_TOKENS if model.max_length is None else min(SAMPLE_TOKENS, model.max_length - 1)
    section = SamplingSection(temperature=SAMPLE_TEMPERATURE, max_new_tokens=room)
    prompt = Prompt("sample", "", token_ids=(start,))
    (rollout,) = TorchEngine(model, shares_weights=True).generate(
        [prompt], sampling_of(section, model, seed), 1
    )
    return rollout.text, room
