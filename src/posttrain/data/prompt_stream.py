"""A shuffled, endless, resumable stream over finite prompts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from posttrain.errors import CheckpointError, DataError
from posttrain.types import Prompt


class PromptStream:
    """Prompts in epochs, each a new permutation that depends on the seed and the epoch's number alone.

    Every prompt carries the epoch it was drawn in, so asking for more prompts than there are gives the same ones
    again as new groups. `state_dict()` is plain JSON; loading it continues with exactly the next prompt.
    """

    def __init__(self, prompts: Sequence[Prompt], *, seed: int, shuffle: bool = True) -> None:
        if not len(prompts):
            raise DataError(
                "a stream needs at least one prompt; the data is empty or everything was filtered out"
            )
        self._prompts = prompts
        self._seed = seed
        self._shuffle = shuffle
        self._fingerprint: str | None = None
        self._epoch = 0
        self._position = 0
        self._order = self._permutation(0)

    @property
    def epoch(self) -> int:
        """The pass over the data that the next prompt belongs to, from 0."""
        return self._epoch

    @property
    def fingerprint(self) -> str:
        """A digest of all prompts with their columns, in order; the data's own where it has one."""
        if self._fingerprint is None:
            own = getattr(self._prompts, "fingerprint", None)
            self._fingerprint = own if isinstance(own, str) else fingerprint_of(self._prompts)
        return self._fingerprint

    def take(self, n: int) -> list[Prompt]:
        """The next `n` prompts."""
        if n < 0:
            raise ValueError(f"cannot take {n} prompts")
        taken: list[Prompt] = []
        while len(taken) < n:
            part = self._order[self._position : self._position + n - len(taken)]
            taken += [dataclasses.replace(self._prompts[i], epoch=self._epoch) for i in part]
            self._position += len(part)
            if self._position == len(self._order):
                self._epoch, self._position = self._epoch + 1, 0
                self._order = self._permutation(self._epoch)
        return taken

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, as JSON-able numbers and text."""
        return {
            "epoch": self._epoch,
            "position": self._position,
            "seed": self._seed,
            "shuffle": self._shuffle,
            "num_prompts": len(self._prompts),
            "fingerprint": self.fingerprint,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where the state was taken.

        CheckpointError when the seed, the order or the data differ from those that the state was taken with: the
        permutations would be others.
        """
        now = self.state_dict()
        changed = [
            name for name in ("seed", "shuffle", "num_prompts", "fingerprint") if state.get(name) != now[name]
        ]
        if changed:
            listed = ", ".join(f"{name} was {state.get(name)!r} and is {now[name]!r}" for name in changed)
            raise CheckpointError(
                f"the prompts are not those that this run was started with ({listed}); restore the data and the seed, "
                "or start a new run"
            )
        epoch, position = state["epoch"], state["position"]
        if not (
            isinstance(epoch, int)
            and isinstance(position, int)
            and epoch >= 0
            and 0 <= position < len(self._order)
        ):
            raise CheckpointError(
                f"the state of the prompt stream is damaged: epoch {epoch!r}, position {position!r}"
            )
        self._epoch, self._position = epoch, position
        self._order = self._permutation(epoch)

    def _permutation(self, epoch: int) -> list[int]:
        order = list(range(len(self._prompts)))
        if self._shuffle:
            # Seeded by text, which Python hashes with SHA-512: the same on every machine and version.
            random.Random(f"prompt stream/{self._seed}/{epoch}").shuffle(order)
        return order


def fingerprint_of(prompts: Sequence[Prompt]) -> str:
    """A digest of the prompts' ids, contents and columns, in order."""
    hashed = hashlib.blake2b(digest_size=8)
    for prompt in prompts:
        record = [prompt.prompt_id, prompt.content, dict(prompt.columns)]
        hashed.update(json.dumps(record, sort_keys=True, default=repr).encode("utf-8", "surrogatepass"))
        hashed.update(b"\n")
    return hashed.hexdigest()
