"""Tensors of one optimiser step: rows of tokens, and what is known about each of them.

Letters in the shapes: `rows` sequences, `length` tokens of a row, `time` response tokens.
Rows are padded on the right with id 0; padding is known by length, never by id. True in a mask counts.
"""

from posttrain.batches.packed_batch import PackedBatch
from posttrain.batches.policy_batch import PolicyBatch
from posttrain.batches.policy_value_batch import PolicyValueBatch
from posttrain.batches.preference_batch import PreferenceBatch, RankedRollouts
from posttrain.batches.token_batch import TokenBatch
from posttrain.batches.value_batch import ValueBatch

__all__ = [
    "PackedBatch",
    "PolicyBatch",
    "PolicyValueBatch",
    "PreferenceBatch",
    "RankedRollouts",
    "TokenBatch",
    "ValueBatch",
]
