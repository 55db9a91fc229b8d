import pytest
import torch

from posttrain.training import Metrics


def test_a_part_with_99_tokens_weighs_99_times_as_much():
    one, many = Metrics().mean("kl", total=1.0, count=1), Metrics().mean("kl", total=0.0, count=99)
    assert (one + many).means() == {"kl": 0.01}
    assert one.means() == {"kl": 1.0}  # merging changes neither


def test_kinds_merge_each_in_its_way():
    left = Metrics().sum("tokens", 3).minimum("low", 2.0).maximum("high", torch.tensor(2.0))
    right = Metrics().sum("tokens", torch.tensor(4)).minimum("low", torch.tensor(-1.0)).maximum("high", 5.0)
    assert (left + right).means() == {"tokens": 7.0, "low": -1.0, "high": 5.0}


def test_a_mean_over_nothing_is_left_out():
    assert Metrics().mean("kl", total=0.0, count=0).sum("tokens", 0).means() == {"tokens": 0.0}


def test_json_of_ranks_with_different_names_merges():
    parts = [
        Metrics().mean("a", total=torch.tensor(3.0), count=torch.tensor(2)).to_json(),
        Metrics().mean("a", total=1.0, count=2).maximum("only here", 1.0).to_json(),
    ]
    merged = Metrics.from_json(entry for entries in parts for entry in entries)
    assert merged.means() == {"a": 1.0, "only here": 1.0}


def test_one_name_has_one_kind():
    with pytest.raises(ValueError, match="'kl' is a mean"):
        Metrics().mean("kl", total=1.0, count=1).sum("kl", 1.0)


def test_values_are_detached_and_added_in_float64():
    value = torch.tensor(1.0, requires_grad=True) * 2
    metrics = Metrics().mean("x", total=value, count=1)
    assert not metrics._entries["x"][1].requires_grad
    small = Metrics().sum("y", torch.tensor(2.0**24))
    for _ in range(10):
        small = small + Metrics().sum("y", torch.tensor(1.0))
    assert small.means()["y"] == 2.0**24 + 10
