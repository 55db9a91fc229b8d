"""Writes the data of the R1 examples beside this file, the same bytes each time: python examples/r1/make_data.py

cold_start.jsonl   40 worked conversations: reasoning in <think>, the number in <answer>
questions.jsonl    160 questions with the same system message, to train on with rewards
held_out.jsonl     40 others, never trained on
plain.jsonl, plain_held_out.jsonl   the same questions as plain text, for a base model (examples/r1_zero.toml)
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SYSTEM = (
    "Think first: write each step between <think> and </think>. Then write the result, a number and nothing else, "
    "between <answer> and </answer>."
)
NUM_DEMONSTRATIONS, NUM_TRAINED, NUM_HELD_OUT = 40, 160, 40
WORDINGS = (
    "First {a} + {b} = {ab}. Then {ab} + {c} = {abc}.",
    "I add the first two numbers: {a} + {b} = {ab}. Now I add the third: {ab} + {c} = {abc}.",
    "{a} + {b} = {ab}, and {ab} + {c} = {abc}.",
    "Start with {a}. Adding {b} gives {ab}. Adding {c} gives {abc}.",
)

Numbers = tuple[int, int, int]


def question(numbers: Numbers) -> str:
    """What the user asks."""
    return "What is {} + {} + {}?".format(*numbers)


def demonstration(numbers: Numbers, wording: str) -> dict[str, Any]:
    """A whole conversation with the steps written out."""
    a, b, c = numbers
    steps = wording.format(a=a, b=b, c=c, ab=a + b, abc=a + b + c)
    answer = f"<think>{steps}</think><answer>{a + b + c}</answer>"
    return {"messages": [*asked(numbers), {"role": "assistant", "content": answer}]}


def asked(numbers: Numbers) -> list[dict[str, str]]:
    """The conversation up to where the model is to answer."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question(numbers)}]


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main(folder: Path) -> None:
    """Three numbers of 1 to 9 each; no two of the files share a question, in whatever order its numbers are."""
    every = [(a, b, c) for a in range(1, 10) for b in range(1, 10) for c in range(1, 10)]
    rng = random.Random("examples/r1")
    rng.shuffle(every)
    # Held out by what is added, not by its order: 2 + 3 + 4 gives 4 + 3 + 2 away.
    sets = {tuple(sorted(numbers)) for numbers in every}
    held_out_sets = set(sorted(sets, key=lambda numbers: rng.random())[: len(sets) // 4])
    held_out = [numbers for numbers in every if tuple(sorted(numbers)) in held_out_sets][:NUM_HELD_OUT]
    trained = [numbers for numbers in every if tuple(sorted(numbers)) not in held_out_sets]
    shown, trained = trained[:NUM_DEMONSTRATIONS], trained[NUM_DEMONSTRATIONS:][:NUM_TRAINED]
    write(
        folder / "cold_start.jsonl",
        [demonstration(numbers, WORDINGS[i % len(WORDINGS)]) for i, numbers in enumerate(shown)],
    )
    for name, part in (("questions", trained), ("held_out", held_out)):
        write(folder / f"{name}.jsonl", [{"prompt": asked(n), "answer": str(sum(n))} for n in part])
    for name, part in (("plain", trained), ("plain_held_out", held_out)):
        write(folder / f"{name}.jsonl", [{"prompt": question(n), "answer": str(sum(n))} for n in part])


if __name__ == "__main__":
    main(Path(__file__).parent)
