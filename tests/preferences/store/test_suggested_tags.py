"""The tags that a store's pages offer."""

from __future__ import annotations

import pytest

from posttrain.config.loading import load_config
from posttrain.config.rank_page import RankPageConfig
from posttrain.errors import ConfigError
from posttrain.preferences.store.suggested_tags import USUAL_TAGS, checked_tags, suggest_tags, suggested_tags


def test_a_new_store_offers_the_usual_ones_until_others_are_chosen(store):
    assert suggested_tags(store) == USUAL_TAGS
    assert suggest_tags(store, ["helpful", " über alles "]) == ("helpful", "über alles")
    assert suggested_tags(store) == ("helpful", "über alles")
    suggest_tags(store, [])
    assert suggested_tags(store) == ()


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (["a", " "], "1 to 100"),
        (["x" * 101], "1 to 100"),
        (["a", "b", "a "], "'a' is there twice"),
        (map(str, range(51)), "51 tags"),
    ],
)
def test_tags_that_cannot_be_given(tags, reason):
    with pytest.raises(ConfigError, match=reason):
        checked_tags(tags)
    assert checked_tags(USUAL_TAGS) == USUAL_TAGS


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        ([], None),
        (["--tags", "helpful,wrong, too long"], ("helpful", "wrong", " too long")),
        (["--tags", "helpful"], ("helpful",)),
        (["--tags", '["a, b", "c"]'], ("a, b", "c")),
        (["--tags", ""], ()),
    ],
)
def test_tags_on_the_command_line_are_parted_by_commas(words, tags):
    assert load_config(RankPageConfig, {"store": "s.db"}, words).tags == tags
