from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from posttrain.config.loading import load_config
from posttrain.config.pretrain import PretrainConfig
from posttrain.config.sections import as_toml_values
from posttrain.errors import ConfigError
from posttrain.recipes.learners import may_change_on_resume
from posttrain.recipes.setup import optimizer_settings

NEW = {"layers": 2, "width": 32, "heads": 4}
TEXT = {"path": "pydoc"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "there is nothing to train"),
        ({"model": "smollm2", "new_model": NEW}, "model and new_model are both set"),
        ({"model": "smollm2", "tokenizer": {"kind": "bytes"}}, "brings its own tokenizer"),
        ({"new_model": NEW, "sequence_length": 0}, "sequence_length"),
        ({"new_model": NEW, "rows_per_step": 0}, "rows_per_step"),
        ({"new_model": NEW | {"heads": 5}}, "multiple of new_model.heads"),
        ({"new_model": NEW | {"width": 36, "heads": 4}}, "a head's share of it even"),
        ({"new_model": NEW | {"key_value_heads": 3}}, "must divide"),
        (
            {"new_model": NEW | {"max_length": 64}, "sequence_length": 64},
            r"less than sequence_length \+ 1 = 65",
        ),
        ({"new_model": NEW, "data": TEXT | {"held_out_share": 1.0}}, "held_out_share"),
        ({"new_model": NEW, "tokenizer": {"kind": "words"}}, "tokenizer.kind"),
        ({"new_model": NEW, "data": TEXT | {"colum": "x"}}, "Did you mean 'data.column'"),
    ],
)
def test_settings_that_contradict_each_other(settings, message):
    with pytest.raises(ConfigError, match=message):
        load_config(PretrainConfig, {"data": TEXT} | settings)


def test_text_must_be_named():
    with pytest.raises(ValidationError, match="data"):
        PretrainConfig(new_model=NEW)


def test_paths_become_absolute_and_pydoc_stays():
    data = PretrainConfig(new_model=NEW, data={"path": ("a.txt", "pydoc"), "held_out_path": "b.txt"}).data
    assert data.path == (str(Path.cwd() / "a.txt"), "pydoc")
    assert data.held_out_path == str(Path.cwd() / "b.txt")
    assert load_config(PretrainConfig, {"new_model": NEW}, ["--data.path", "c.txt"]).data.path == str(
        Path.cwd() / "c.txt"
    )
    listed = load_config(PretrainConfig, {"new_model": NEW}, ["--data.path", '["/x.txt", "pydoc"]'])
    assert listed.data.path == ("/x.txt", "pydoc")


@pytest.mark.parametrize(
    "settings",
    [{"new_model": NEW}, {"model": "smollm2"}, {"new_model": NEW, "optimizer": {"max_grad_norm": None}}],
)
def test_the_saved_configuration_reads_back(settings):
    config = PretrainConfig(data=TEXT, **settings)
    assert load_config(PretrainConfig, as_toml_values(config)) == config


def test_warm_up_by_share_unless_steps_are_given():
    section = PretrainConfig(new_model=NEW, data=TEXT).optimizer
    schedule = optimizer_settings(section, 1000).schedule
    assert (schedule.num_warmup_steps, schedule.at(50), schedule.at(1000)) == (50, 1e-3, pytest.approx(1e-4))
    given = section.model_copy(update={"warmup_steps": 7, "schedule": "constant", "warmup_share": 0.5})
    assert optimizer_settings(given, 1000).schedule.num_warmup_steps == 7
    by_share = section.model_copy(update={"schedule": "constant"})
    assert optimizer_settings(by_share, 1000).schedule.num_warmup_steps == 50


def test_steps_may_change_on_resume_only_where_no_schedule_counts_them():
    section = PretrainConfig(new_model=NEW, data=TEXT).optimizer
    constant = section.model_copy(update={"schedule": "constant"})
    assert "steps" not in may_change_on_resume(section)
    assert "steps" not in may_change_on_resume(constant)
    assert "steps" in may_change_on_resume(constant.model_copy(update={"warmup_share": 0.0}))
    assert "steps" in may_change_on_resume(constant.model_copy(update={"warmup_steps": 3}))
