"""`posttrain inspect`: what a model would be trained on, token by token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from rich.console import Console

from posttrain.commands.output_file import check_output, write_output
from posttrain.commands.token_text import print_example, print_legend
from posttrain.commands.token_view import ExampleViewer, ViewedExample
from posttrain.config.inspect import InspectConfig
from posttrain.data.comparisons import load_rankings
from posttrain.data.conversation_encoding import DemonstrationEncoder, encode_demonstrations
from posttrain.data.demonstrations import load_demonstrations, without_duplicates
from posttrain.data.record_files import open_rows
from posttrain.evaluation.printable import printable
from posttrain.models.tokenizer_loading import load_tokenizer
from posttrain.recipes.demonstrations import columns_of, conversation_format, counted, use_template_of_file
from posttrain.runs.metric_names import count_text


@dataclass(frozen=True)
class _View:
    """What is shown: examples, lines about the whole file, and what a marked token is."""

    examples: list[ViewedExample]
    summary: list[str]
    meaning: str


def inspect_data(config: InspectConfig) -> None:
    """Prints the first examples and the counts of the whole file, or writes them as a page to `config.output`."""
    check_output(config.output)
    is_comparisons = _holds_comparisons(config)
    # Before a tokenizer is loaded: a wrong line is said at once.
    make: Callable[[Any], _View] = _comparisons(config) if is_comparisons else _demonstrations(config)
    tokenizer = load_tokenizer(config.model)
    use_template_of_file(config, tokenizer)
    view, console = make(tokenizer), Console()
    if config.output is not None:
        write_output(config.output, _page(config, view))
    else:
        if view.examples:
            print_legend(console, meaning=view.meaning)
        for example in view.examples:
            print_example(example, console, meaning=view.meaning)
        console.print()
    for line in view.summary:
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
    if config.output is not None:
        console.print(f"view {config.output}", highlight=False, markup=False, soft_wrap=True)


def _holds_comparisons(config: InspectConfig) -> bool:
    """By the columns of the first record; a broken first line is reported by the reader of demonstrations."""
    rows, _ = open_rows(config.path)
    first = next((record for _, record in rows if isinstance(record, dict)), {})
    given = {name for name, value in first.items() if value is not None}
    return bool(given & {"ranks", "chosen", "rejected"})


def _demonstrations(config: InspectConfig) -> Callable[[Any], _View]:
    found = load_demonstrations(config.path, columns_of(config))
    kept, dropped = without_duplicates(found)

    def make(tokenizer: Any) -> _View:
        conversation = conversation_format(config)
        encoded = encode_demonstrations(
            kept, tokenizer, conversation, max_length=config.max_length, train_on=config.train_on
        )
        encoder = DemonstrationEncoder(tokenizer, conversation, train_on=config.train_on)
        viewer = ExampleViewer(tokenizer, config.max_length)
        kept_ids = {item.demonstration_id for item in kept}
        examples = [
            viewer.demonstration(
                item,
                encoder,
                "" if item.demonstration_id in kept_ids else "dropped: the same as an earlier one",
            )
            for item in found[: config.num_examples]
        ]
        summary = [
            f"{config.path}: {count_text(len(found), 'demonstration')}; trained on: {counted(encoded.examples)}"
        ]
        if encoded.num_truncated:
            summary.append(f"cut after max_length = {config.max_length} tokens: {encoded.num_truncated}")
        summary += map(str, [*dropped, *encoded.dropped])
        return _View(examples, summary, "learned")

    return make


def _comparisons(config: InspectConfig) -> Callable[[Any], _View]:
    found = load_rankings(config.path)

    def make(tokenizer: Any) -> _View:
        viewer, conversation = ExampleViewer(tokenizer, config.max_length), conversation_format(config)
        examples = [viewer.ranking(item, conversation) for item in found.rankings[: config.num_examples]]
        num_responses = sum(len(item.responses) for item in found.rankings)
        counts = f"{count_text(len(found.rankings), 'ranking')} of {count_text(num_responses, 'response')}"
        summary = [f"{config.path}: {counts}"]
        return _View(examples, summary + [str(item) for item in found.dropped], "read for a reward")

    return make


def _page(config: InspectConfig, view: _View) -> str:
    from jinja2 import Environment

    source = (files("posttrain.commands") / "token_page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True).from_string(source)
    return template.render(
        title=printable(f"{config.path.name} as {config.model} reads it"),
        summary=[printable(line) for line in view.summary],
        meaning=view.meaning,
        examples=view.examples,
    )
