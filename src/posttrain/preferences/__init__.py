"""Responses to be ranked and what came of ranking them. Imports no torch.

Flow: samples file -> `SampledPrompt` -> a judgement (people, or `ScriptedAnnotator`) -> `Ranking` -> rankings file.
"""

from posttrain.preferences.rankings_file import encode_ranking
from posttrain.preferences.sampled_prompt import SampledPrompt, encode_sample, read_samples
from posttrain.preferences.scripted_annotator import ScriptedAnnotator, ranks_of_scores

__all__ = [
    "SampledPrompt",
    "ScriptedAnnotator",
    "encode_ranking",
    "encode_sample",
    "ranks_of_scores",
    "read_samples",
]
