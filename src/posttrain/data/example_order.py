"""Which examples a step trains on: a function of the seed and the step alone, so that resuming needs no state."""

from __future__ import annotations

import random


class ExampleOrder:
    """Every example once an epoch, in a permutation that depends on the seed and the epoch's number alone.

    An epoch has `steps_per_epoch` = examples / examples_per_step steps, rounded up, and its examples are spread evenly
    over them: no step is a small rest, and none takes more than `examples_per_step`.

    Example: 10 examples at up to 4 a step are 3 steps of 3, 3 and 4 examples.
    """

    def __init__(self, num_examples: int, *, examples_per_step: int, seed: int) -> None:
        if num_examples < 1 or examples_per_step < 1:
            raise ValueError(f"needs examples and steps, got {num_examples} and {examples_per_step} a step")
        self._num_examples = num_examples
        self._seed = seed
        self._shuffled: tuple[int, list[int]] = (-1, [])
        self.steps_per_epoch = -(-num_examples // examples_per_step)

    def of_step(self, step: int) -> list[int]:
        """Numbers of the examples of a step that is counted from 1; each trained on in one epoch before the next."""
        epoch, place = divmod(step - 1, self.steps_per_epoch)
        if self._shuffled[0] != epoch:
            order = list(range(self._num_examples))
            # Seeded by text, which Python hashes with SHA-512: the same on every machine and version.
            random.Random(f"example order/{self._seed}/{epoch}").shuffle(order)
            self._shuffled = (epoch, order)
        start, stop = (self._num_examples * n // self.steps_per_epoch for n in (place, place + 1))
        return self._shuffled[1][start:stop]
