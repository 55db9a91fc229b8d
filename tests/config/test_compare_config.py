"""Which command a file is for, and what a comparison's runs are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from posttrain.config.compare import CompareConfig, plan_runs, shared_settings
from posttrain.errors import ConfigError

SHARED = '[data]\ntask = "sums"\n'


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str) -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def planned(*files: str, output: Path = Path("out")) -> list[tuple[str, str]]:
    return [(run.name, run.command) for run in plan_runs(CompareConfig(files=files, output=output))]


def test_a_file_is_for_the_command_that_its_settings_fit(write):
    first = write("first.toml", "[critic]\nkind = 'head'\n" + SHARED)
    second = write("second.toml", SHARED + "[algorithm]\npreset = 'dapo'\n")
    assert planned(first, second) == [("first", "ppo"), ("second", "grpo")]


def test_what_fits_both_is_told_by_its_name_or_in_so_many_words(write):
    ppo, other = write("sums_ppo.toml", SHARED), write("other.toml", SHARED)
    assert planned(ppo, f"grpo:{other}") == [("sums_ppo", "ppo"), ("other", "grpo")]
    with pytest.raises(ConfigError, match=r"could be for any of ppo, grpo.*ppo:.*other\.toml"):
        planned(ppo, other)


def test_files_of_one_name_get_folders_of_their_own(write, tmp_path):
    runs = plan_runs(
        CompareConfig(files=(write("ppo.toml", SHARED), write("b/ppo.toml", SHARED)), output=tmp_path / "out")
    )
    assert [run.config.output for run in runs] == [tmp_path / "out" / "ppo", tmp_path / "out" / "ppo_2"]


def test_an_error_in_a_file_is_the_one_of_the_command_it_is_named_after(write):
    wrong = write("grpo.toml", SHARED + "[algorithm]\nbaselin = 'leave_one_out'\n")
    with pytest.raises(ConfigError, match=r"grpo\.toml:4.*baseline"):
        planned(wrong, write("ppo.toml", SHARED))


def test_one_file_is_no_comparison():
    with pytest.raises(ValueError, match="two files or more"):
        CompareConfig(files=("ppo.toml",))


def test_precision_and_adapters_must_be_the_same(write):
    plain = write("ppo.toml", SHARED)
    other = write("grpo.toml", SHARED + "[compute]\ndtype = 'float32'\n[lora]\nr = 4\n")
    first, second = map(shared_settings, plan_runs(CompareConfig(files=(plain, other))))
    assert {name for name in first | second if first.get(name) != second.get(name)} == {"compute", "lora"}
