"""Documents packed into one row give the numbers and gradients that each gives alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_models import KINDS, tiny_language_model

from posttrain.batches import PackedBatch
from posttrain.models import packed_documents

documents = st.lists(st.integers(1, 7), min_size=1, max_size=4)


def packed_rows(lengths: list[list[int]], seed: int = 0) -> PackedBatch:
    generator = torch.Generator().manual_seed(seed)

    def document(length: int):
        ids = torch.randint(5, 200, (length,), generator=generator).tolist()
        return ids, [False, *(torch.rand(length - 1, generator=generator) < 0.8).tolist()]

    return PackedBatch.from_documents([[document(length) for length in row] for row in lengths])


def test_the_example_of_the_docstring():
    packed = PackedBatch.from_documents([[([5, 6, 7], [False, True, True]), ([8, 9], [False, True])]])
    assert packed.token_ids.tolist() == [[5, 6, 7, 8, 9]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 0, 1]]
    assert packed.loss_mask.tolist() == [[False, True, True, False, True]]
    assert (packed.lengths.tolist(), packed.num_targets, len(packed)) == ([5], 3, 1)


def test_a_first_token_is_never_a_target():
    with pytest.raises(ValueError, match="first token cannot be a target"):
        PackedBatch.from_documents([[([5, 6], [True, True])]])


@given(st.lists(documents, min_size=1, max_size=4), st.data())
def test_selected_rows_are_those_rows(lengths, data):
    packed = packed_rows(lengths)
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=4))
    chosen = packed.select(rows)
    for new, old in enumerate(rows):
        n = int(packed.lengths[old])
        assert torch.equal(chosen.token_ids[new, :n], packed.token_ids[old, :n])
        assert torch.equal(chosen.loss_mask[new, :n], packed.loss_mask[old, :n])
        assert not chosen.loss_mask[new, n:].any()
    assert chosen.token_ids.shape[1] == max(int(packed.lengths[row]) for row in rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packs", [True, False])
def test_packing_changes_no_number_and_no_gradient(kind, packs):
    lengths = [[5, 3, 7], [2, 1, 4], [9]]
    packed = packed_rows(lengths)
    together = tiny_language_model(kind, seed=3, dtype=torch.float64)
    together._decoder._packs_tokens = False
    together._decoder._packs_documents = packs
    weights = torch.linspace(-1, 1, packed.num_targets, dtype=torch.float64)
    (together.target_logprobs(packed) * weights).sum().backward()

    alone = tiny_language_model(kind, seed=3, dtype=torch.float64)
    found = []
    for row in range(len(packed)):
        start = 0
        for length in lengths[row]:
            part = slice(start, start + length)
            one = ([*packed.token_ids[row, part].tolist()], packed.loss_mask[row, part].tolist())
            found.append(alone.target_logprobs(PackedBatch.from_documents([[one]])))
            start += length
    (torch.cat(found) * weights).sum().backward()
    torch.testing.assert_close(together.target_logprobs(packed), torch.cat(found), rtol=0, atol=1e-6)
    expected = dict(alone.model.named_parameters())
    for name, parameter in together.model.named_parameters():
        # Some norms compute in float32 whatever the model does.
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_finds_out_that_it_can(kind):
    assert tiny_language_model(kind)._decoder._can_pack_documents()


def test_a_model_that_lets_documents_see_each_other_is_found_out(monkeypatch):
    def leaking(trunk, packed):
        columns = torch.arange(packed.token_ids.shape[1]).expand(packed.token_ids.shape)
        return trunk(input_ids=packed.token_ids, position_ids=columns, use_cache=False).last_hidden_state

    monkeypatch.setattr(packed_documents, "packed_hidden_states", leaking)
    assert not tiny_language_model("llama")._decoder._can_pack_documents()


@settings(max_examples=20, deadline=None)
@given(st.lists(documents, min_size=1, max_size=3), st.integers(0, 5))
def test_padding_and_other_documents_never_matter(lengths, seed):
    """Other ids behind the rows' ends, and another first document, leave the last document as it was."""
    model = tiny_language_model("gpt2", seed=1, dtype=torch.float64)
    packed = packed_rows(lengths, seed)
    noisy = packed_rows(lengths, seed)
    behind = torch.arange(packed.token_ids.shape[1])[None, :] >= packed.lengths[:, None]
    noisy.token_ids[behind] = 77
    with torch.no_grad():
        torch.testing.assert_close(
            model.target_logprobs(noisy), model.target_logprobs(packed), rtol=0, atol=0
        )
