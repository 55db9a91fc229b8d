"""Prompts with responses as language models write them: Markdown, code, maths, one cut off, one empty of sense."""

from __future__ import annotations

from posttrain.preferences.store.records import NewItem

SKY = NewItem(
    external_id="sky",
    prompt="Why is the sky blue during the day, but red at sunset? Explain it to a curious twelve-year-old.",
    responses=(
        "Sunlight looks white, but it is made of **all colours mixed together**. When it comes into the air, it bumps "
        "into tiny molecules, and they scatter some colours more than others.\n\n"
        "- **Blue** light has short waves. It is scattered in every direction, so wherever you look, some blue reaches "
        "your eyes.\n- **Red** light has long waves and mostly goes straight on.\n\n"
        "At sunset the light comes from the side and has to pass through *much more* air. Most of the blue has been "
        "scattered away before it gets to you. What is left is red and orange.\n\n"
        "> Try it: put a few drops of milk in a glass of water and shine a torch through it.",
        "The sky is blue because it reflects the colour of the oceans. At sunset the sun is further away, so its "
        "light is weaker and looks red.",
        "Great question! The answer is **Rayleigh scattering**: the strength of scattering grows as "
        "$I \\propto \\frac{1}{\\lambda^4}$, where $\\lambda$ is the wavelength.\n\n"
        "| Colour | Wavelength | Scattered |\n|---|---|---|\n| blue | 450 nm | 4.4 × |\n| red | 650 nm | 1 × |\n\n"
        "So blue light is scattered about\n\n$$\n\\left(\\frac{650}{450}\\right)^4 \\approx 4.4\n$$\n\ntimes as much as "
        "red light. At sunset the path through the air is about 40 times longer, which removes nearly all of the blue.",
        "Imagine sunlight as a crowd of runners in different colours. The blue runners are small and keep bumping "
        "into the air's tiny obstacles, so they end up all over the sky. The red runners are tall and step right over "
        "them. In the evening the race is much longer. By the time the runners reach you, nearly all of the blue ones "
        "have been knocked off the track, and only the red ones",
    ),
    finish_reasons=("eos", "eos", "eos", "length"),
    models=("secret-model-7b", "secret-model-1b", "secret-model-7b", "secret-model-1b"),
)

MEDIAN = NewItem(
    external_id="median",
    prompt=(
        {"role": "system", "content": "You are a careful programmer. Answer with code and one sentence."},
        {"role": "user", "content": "Write a Python function that returns the median of a list of numbers."},
    ),
    responses=(
        '```python\ndef median(numbers):\n    """The middle value; the mean of the two middle ones."""\n'
        "    ordered = sorted(numbers)\n    middle = len(ordered) // 2\n    if len(ordered) % 2:\n"
        "        return ordered[middle]\n    return (ordered[middle - 1] + ordered[middle]) / 2\n```\n\n"
        "It sorts a copy, so the list itself stays as it is.",
        "```python\ndef median(numbers):\n    numbers.sort()\n    return numbers[len(numbers) // 2]\n```\n\n"
        "This sorts the list and returns the middle element.",
    ),
    finish_reasons=("eos", "eos"),
    models=("secret-model-7b", "secret-model-1b"),
)

NAMES = NewItem(
    external_id="names",
    prompt="Suggest a name for a small café that also repairs bicycles, and say in one sentence why it fits.",
    responses=(
        "**Spoke & Bean.** It puts a wheel and a coffee into three short words.",
        "**The Daily Grind**, because both coffee and gears grind.",
        "**Café Vélo.** French for bicycle café: plain, and it says what it is.",
        "**Chain Reaction.** One coffee leads to another, and a chain is the first thing you would fix.",
        "I would call it *Cycle of Coffee* since coffee is a cycle and cycles are cycles.",
        "**Brew & Crew & Screw & You**",
        "As a language model I cannot name businesses.",
        "**Second Wind.** What both an espresso and a repaired bicycle give you.",
    ),
    finish_reasons=("eos",) * 8,
    models=("secret-model-7b",) * 8,
)

SUM = NewItem(
    external_id="sum",
    prompt="What is 17 + 25? Answer with the number and one line of reasoning.",
    responses=("42, because 17 + 25 = 17 + 20 + 5 = 42.", "42", "17 + 25 = 32"),
    finish_reasons=("eos", "eos", "eos"),
    models=("secret-model-7b", "secret-model-1b", "secret-model-1b"),
)

EXAMPLES = (SKY, MEDIAN, NAMES, SUM)


def plain_item(number: int, num_responses: int = 4) -> NewItem:
    """An item whose responses say which they are, so that a test can tell them apart."""
    return NewItem(
        external_id=f"plain-{number}",
        prompt=f"Question {number}",
        responses=tuple(f"Response {position} to question {number}" for position in range(num_responses)),
    )
