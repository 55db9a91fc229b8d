"""What a process is and runs on: versions, machine, command line, git commit.

Never an environment variable: secrets live there.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("posttrain", "torch", "transformers", "tokenizers", "safetensors", "peft", "numpy")
_SECRET_OPTION = re.compile(r"token|secret|password|passwd|credential|api.?key|auth", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"^(hf_|sk-|ghp_|github_pat_|AKIA)[A-Za-z0-9_-]{8,}$|://[^/@\s]+:[^/@\s]+@")
_NOT_SECRET = re.compile(r"tokens$|tokenizer|_token_ids?$", re.IGNORECASE)
_HIDDEN = "[hidden]"


def session_facts(*, seeds: Mapping[str, int], device: str, num_threads: int) -> dict[str, Any]:
    """Everything that may explain a difference between two runs, as plain JSON values."""
    return {
        "pid": os.getpid(),
        "command_line": hide_secrets(sys.argv),
        "git": git_state(),
        "seeds": dict(seeds),
        "versions": {"python": platform.python_version(), **_package_versions()},
        "machine": {
            "system": platform.platform(),
            "cpu": cpu_name(),
            "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        },
        "num_threads": num_threads,
        "device": device,
    }


def _package_versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def hide_secrets(arguments: Sequence[str]) -> list[str]:
    """The arguments with the values of options named like a secret, and values that look like one, hidden."""
    shown: list[str] = []
    hide_next = False
    for argument in arguments:
        name, equals, value = argument.partition("=")
        is_option = argument.startswith("-")
        if hide_next and not is_option:
            shown.append(_HIDDEN)
            hide_next = False
            continue
        is_secret = is_option and bool(_SECRET_OPTION.search(name)) and not _NOT_SECRET.search(name)
        hide_next = is_secret and not equals
        if equals and (is_secret or _SECRET_VALUE.search(value)):
            shown.append(f"{name}={_HIDDEN}")
        else:
            shown.append(_HIDDEN if _SECRET_VALUE.search(argument) else argument)
    return shown


def cpu_name() -> str:
    """The processor's name as the system gives it, or its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def git_state() -> dict[str, Any] | None:
    """Commit of the folder the run was started in and whether tracked files differ from it, or None."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(changed)}


def _git(*arguments: str) -> str:
    finished = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, timeout=5, check=True, stdin=subprocess.DEVNULL
    )
    return finished.stdout.strip()
