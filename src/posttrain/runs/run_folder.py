"""The folder of one run: every name and path in it, the lock on it, and what the run says of itself.

config.toml        the resolved configuration
run.json           one entry a start: versions, machine, seeds, command line, git commit
facts.json         what was measured at the first start and stays: micro-batch budget, dtype
metrics.jsonl      one row a step; deterministic values only
timings.jsonl      one row a step; seconds, tokens/s, memory
evaluations.jsonl  one row an evaluation, with its samples
samples.jsonl      scored rollouts of training, where a run samples; samples.html shows them
curve.png          reward and held-out score against step
tokens/            the tokenised text of a pre-training run, and its tokenizer
rankings.jsonl     what a store held when a reward model's run began; held_out_rankings.jsonl likewise
checkpoints/       what a crash leaves to go on from
model/             the trained model, for from_pretrained
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posttrain.errors import ConfigError, DataError
from posttrain.runs.durable_file import replace_file
from posttrain.runs.session_facts import session_facts


class RunFolder:
    """The paths of a run; nothing is made or read before a method is called."""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.config = self.path / "config.toml"
        self.description = self.path / "run.json"
        self.facts = self.path / "facts.json"
        self.metrics = self.path / "metrics.jsonl"
        self.timings = self.path / "timings.jsonl"
        self.evaluations = self.path / "evaluations.jsonl"
        self.samples = self.path / "samples.jsonl"
        self.samples_page = self.path / "samples.html"
        self.curve = self.path / "curve.png"
        self.tokens = self.path / "tokens"
        self.rankings = self.path / "rankings.jsonl"
        self.held_out_rankings = self.path / "held_out_rankings.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self._lock_file = self.path / ".lock"
        self._lock_owner = self.path / ".lock-owner"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def is_run(self) -> bool:
        """Whether a run was started here."""
        return self.description.exists()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """This process alone writes the run while the block lasts; the folder is made if need be.

        The system drops the lock when the process ends, however it ends. ConfigError at once when another
        process holds it, or when the folder is full of something else.
        """
        from filelock import FileLock, Timeout

        self._make()
        held = FileLock(self._lock_file, blocking=False, preserve_lock_file=True, thread_local=False)
        try:
            held.acquire()
        except Timeout:
            raise ConfigError(self._lock_message()) from None
        try:
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
            replace_file(self._lock_owner, json.dumps(owner).encode())
            yield
        finally:
            with contextlib.suppress(OSError):
                self._lock_owner.unlink()
            held.release()

    def _make(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file, and a run needs a folder. Choose another output.")
        own = {path.name for path in self._own_paths()}
        if self.path.is_dir() and not self.is_run:
            foreign = sorted(entry.name for entry in self.path.iterdir() if entry.name not in own)
            foreign = [name for name in foreign if not name.startswith(".")]
            if foreign:
                raise ConfigError(
                    f"{self.path} holds {foreign[0]!r} but no run: writing a run among other files would mix "
                    "them. Choose an output folder that is new or empty."
                )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the run's folder {self.path} cannot be made: {error.strerror}. Choose another output."
            ) from error

    def _lock_message(self) -> str:
        try:
            owner = json.loads(self._lock_owner.read_bytes())
            pid, host, since = int(owner["pid"]), str(owner["host"]), str(owner["since"])
        except (OSError, ValueError, KeyError, TypeError):
            return (
                f"{self.path} is being written by another process, and two would spoil each other's files. "
                "Wait for it to end, or choose another output folder."
            )
        if host == socket.gethostname() and not _is_alive(pid):
            return (
                f"{self.path} is locked on behalf of process {pid}, which has ended: a process that it "
                f"started is still there and keeps the lock. Find it with `fuser {self._lock_file}`, end it, "
                "try again."
            )
        return (
            f"{self.path} is being written by process {pid} on {host} since {since}, and two would spoil "
            f"each other's files. Wait for it to end, stop it (kill {pid}), or choose another output folder."
        )

    def _own_paths(self) -> list[Path]:
        return [path for path in vars(self).values() if isinstance(path, Path) and path != self.path]

    def write_config(self, text: str) -> None:
        """config.toml holds `text`, which must be TOML; from now on this is a run. ConfigError when it is not."""
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"the configuration to be saved is not TOML: {error}") from error
        replace_file(self.config, text.encode())
        if not self.description.exists():
            self._write_sessions([])

    def read_config(self) -> dict[str, Any]:
        """The configuration that the run was last started with. DataError when there is none to read."""
        try:
            return tomllib.loads(self.config.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(
                f"{self.path} holds no run: {self.config.name} is not there. Check the path."
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataError(
                f"{self.config} cannot be read: {error}. Restore it from where the run was started, "
                "or start a new run in another folder."
            ) from error

    def read_facts(self) -> dict[str, Any]:
        """What was found out at an earlier start and must stay; {} at first. DataError when it is damaged."""
        try:
            return dict(json.loads(self.facts.read_bytes()))
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError) as error:
            raise DataError(f"{self.facts} cannot be read: {error}. Move it away to go on.") from error

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """facts.json holds these."""
        replace_file(self.facts, json.dumps(dict(facts), indent=2).encode() + b"\n")

    def record_session(
        self,
        *,
        seeds: Mapping[str, int],
        device: str,
        num_threads: int,
        resumed_from_step: int | None = None,
        changed: Sequence[str] = (),
        reward: Sequence[str] = (),
    ) -> None:
        """run.json has one more entry: what ran, on what, from which step.

        `num_threads` is torch's (this room does not import torch). `changed` are messages of
        `compare_configs` for a resumed run, `reward` names the reward's terms. Environment variables are not
        recorded, and arguments named like a secret lose their value.
        """
        sessions = self.read_sessions()
        facts = session_facts(seeds=seeds, device=device, num_threads=num_threads)
        sessions.append(
            {
                "started_at": _now(),
                "resumed_from_step": resumed_from_step,
                "changed": list(changed),
                "reward": list(reward),
                **facts,
            }
        )
        self._write_sessions(sessions)

    def _write_sessions(self, sessions: list[dict[str, Any]]) -> None:
        text = json.dumps({"format": 1, "sessions": sessions}, indent=2)
        replace_file(self.description, text.encode() + b"\n")

    def read_sessions(self) -> list[dict[str, Any]]:
        """The entries of run.json, oldest first; [] before the first start. DataError when it is damaged."""
        try:
            return list(json.loads(self.description.read_bytes())["sessions"])
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.description} cannot be read: {error}. Only the run's history is in it: "
                "move it away to go on."
            ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OSError, OverflowError):
        return True
    return True
