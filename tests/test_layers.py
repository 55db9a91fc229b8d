"""Imports point one way, so that a room can be read without the rooms behind it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "posttrain"
HEAVY = {"torch", "transformers", "peft", "matplotlib", "pyarrow"}

# Room -> the rooms it may import, besides itself. A room that is not listed is an error: say where it stands.
MAY_IMPORT = {
    "types": set(),
    "errors": set(),
    "batches": {"types"},
    "algorithms": set(),
    "config": {"errors"},
    "data": {"types", "errors"},
    "rewards": {"types", "errors", "data"},
    "models": {"types", "errors", "batches", "algorithms", "data"},
    "rollouts": {"types", "errors", "algorithms", "models", "data"},
    "distributed": {"errors"},
    "training": {"types", "errors", "batches", "algorithms", "models", "distributed"},
    "evaluation": {"types", "errors", "rollouts", "rewards"},
    "lab": {"types", "errors", "config", "algorithms"},
    "runs": {"types", "errors", "evaluation"},
    "preferences": {"types", "errors", "data", "evaluation", "runs"},
    "web": {"types", "errors", "preferences"},
    "recipes": {
        "types", "errors", "batches", "algorithms", "config", "data", "rewards", "models", "rollouts",
        "distributed", "training", "evaluation", "runs", "preferences",
    },
    # The one room that knows several recipes: it runs them one after another.
    "pipelines": {"types", "errors", "config", "data", "preferences", "evaluation", "runs", "recipes"},
    "cli": {"errors", "config", "recipes", "commands"},
    "commands": {"types", "errors", "config", "data", "models", "rollouts", "rewards", "evaluation", "recipes", "runs", "lab", "pipelines", "preferences", "web"},
    "__init__": {"types", "errors", "config", "recipes", "pipelines", "preferences"},
    "__main__": {"cli"},
}  # fmt: skip
WITHOUT_TORCH = {
    "types",
    "errors",
    "config",
    "data",
    "rewards",
    "evaluation",
    "runs",
    "preferences",
    "web",
    "cli",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Full names of everything imported anywhere in the file, type-checking blocks left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    here = room(path)
    assert here in MAY_IMPORT, f"say in MAY_IMPORT what {here} may import"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "posttrain" and len(parts) > 1 and parts[1] != "__version__":
            assert parts[1] == here or parts[1] in MAY_IMPORT[here], f"{here} must not import {name}"


@pytest.mark.parametrize("path", [p for p in modules() if room(p) == "algorithms"], ids=lambda p: p.name)
def test_algorithms_import_torch_alone(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert roots <= {"torch", "posttrain"} | sys.stdlib_module_names


@pytest.mark.parametrize("path", [p for p in modules() if room(p) == "types"], ids=lambda p: p.name)
def test_types_import_the_standard_library_alone(path):
    assert {name.split(".")[0] for name in imports(path)} <= sys.stdlib_module_names


@pytest.mark.parametrize("path", [p for p in modules() if room(p) == "recipes"], ids=lambda p: p.name)
def test_no_recipe_imports_another(path):
    """grpo.py may use the pieces beside it (session, groups, ...), never another algorithm's recipe."""
    recipes = {"grpo", "ppo", "sft", "pretrain", "reward_model", "sample", "reject_sample", "rank_by_rule"}
    imported = {name.split(".")[2] for name in imports(path) if name.startswith("posttrain.recipes.")}
    assert not (imported & recipes) - {path.stem}


@pytest.mark.parametrize("name", sorted(WITHOUT_TORCH))
def test_these_rooms_start_without_torch(name):
    """Importing any module of the room, in a fresh process, loads nothing heavy."""
    found = [p for p in modules() if room(p) == name and p.stem != "__main__"]
    dotted = [
        ".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for p in found
    ]
    code = (
        f"import importlib, sys\nfor m in {dotted!r}: importlib.import_module(m)\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout


def test_layer_rules_catch_a_wrong_import(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from posttrain.recipes import grpo\nif TYPE_CHECKING:\n    import torch\n")
    assert imports(wrong) == {"posttrain.recipes.grpo"}
