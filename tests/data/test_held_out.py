from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posttrain.data.held_out import content_number, is_in_share


def test_the_split_never_changes():
    """These contents are where they are for good: a run of last year trained on the others."""
    assert content_number("What is 3 + 4?") == 0x5D8B8B3C1099D417
    assert [i for i in range(60) if is_in_share(f"example {i}", 0.1)] == [8, 11, 13, 14, 20, 23, 29, 34, 46]


def test_about_the_share_is_held_out():
    held_out = sum(is_in_share(str(number), 0.2) for number in range(5000))
    assert 900 < held_out < 1100


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_out_the_same_and_more(content, one, other):
    smaller, larger = sorted((one, other))
    assert is_in_share(content, larger) or not is_in_share(content, smaller)


@given(st.text())
def test_nothing_and_everything(content):
    assert not is_in_share(content, 0.0)
    assert is_in_share(content, 1.0)
