"""A section's default is its class's: writing one key of it leaves the other keys as they were."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

import posttrain.config
from posttrain.config.ppo import CriticSection
from posttrain.config.sections import Section


def sections() -> Iterator[type[Section]]:
    for module in pkgutil.iter_modules(posttrain.config.__path__):
        importlib.import_module(f"posttrain.config.{module.name}")
    waiting = [Section]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += kind.__subclasses__()


@pytest.mark.parametrize("kind", list(dict.fromkeys(sections())), ids=lambda kind: kind.__name__)
def test_no_default_instance_differs_from_its_class(kind):
    for name, field in kind.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        if isinstance(default, BaseModel):
            assert default == type(default)(), f"{kind.__name__}.{name}"


def test_another_key_of_the_critics_optimizer_keeps_its_learning_rate():
    usual = CriticSection().optimizer.learning_rate
    assert usual == 1e-5
    assert CriticSection.model_validate({"optimizer": {"warmup_steps": 3}}).optimizer.learning_rate == usual


@pytest.mark.parametrize("kind", list(dict.fromkeys(sections())), ids=lambda kind: kind.__name__)
def test_help_shows_every_word_of_a_setting(kind):
    """`--help` reads <words> as markup and leaves them out, and a line break in a quoted text is a break."""
    for name, field in kind.model_fields.items():
        said = field.description or ""
        assert not re.search(r"<\w+>", said), f"{kind.__name__}.{name}"
        assert "}\n" not in said, f"{kind.__name__}.{name}"
