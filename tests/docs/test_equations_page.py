"""docs/equations.md stays true: its functions exist in the files it names, and none of the room is missing."""

import importlib
import re
from pathlib import Path

import posttrain.algorithms

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "equations.md").read_text()
ROWS = re.findall(r"^\|.*`posttrain\.algorithms\.(\w+)` \| `(\S+\.py)` \|$", PAGE, flags=re.MULTILINE)


def test_names_on_the_page_exist() -> None:
    names = set(re.findall(r"posttrain\.algorithms\.(\w+)", PAGE))
    assert names
    for name in names:
        assert hasattr(posttrain.algorithms, name), f"docs/equations.md names {name}, which does not exist"


def test_files_on_the_page_exist_and_define_their_function() -> None:
    for path in re.findall(r"`((?:src|tests|docs)/[\w/.-]+)`", PAGE):
        assert (ROOT / path).exists(), path
    assert len(ROWS) == PAGE.count("| `posttrain.algorithms.")
    for name, path in ROWS:
        module = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
        assert getattr(posttrain.algorithms, name).__module__ == module, f"{name} is not defined in {path}"
        assert hasattr(importlib.import_module(module), name)


def test_every_public_name_stands_on_the_page() -> None:
    missing = set(posttrain.algorithms.__all__) - {name for name, _ in ROWS}
    assert not missing, f"add to docs/equations.md: {sorted(missing)}"


def test_public_names_are_all_listed() -> None:
    defined = {
        name
        for name, value in vars(posttrain.algorithms).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("posttrain.algorithms.")
    }
    assert defined == set(posttrain.algorithms.__all__)
