"""Views of examples in a terminal: in colour, or with brackets where there is none."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from posttrain.commands.token_view import ViewedExample, ViewedToken, ViewedTurn
from posttrain.evaluation.printable import printable
from posttrain.runs.metric_names import count_text

# Neighbouring tokens have different backgrounds: that is how their boundaries are seen.
_TARGET = ("black on #7fd18b", "black on #a9e5b1")
_CONTEXT = ("#9a9a9a on #262626", "#9a9a9a on #333333")
_CUT = ("strike #6b4a4a on #1c1c1c", "strike #6b4a4a on #242424")
_SPECIAL = "bold underline"


def print_example(example: ViewedExample, console: Console, *, meaning: str) -> None:
    """The example's turns, one below the other; `meaning` is what a marked token is."""
    in_colour = console.is_terminal and not console.no_color
    title = (
        f"{example.example_id}: {count_text(example.num_tokens, 'token')}, {example.num_targets} {meaning}"
    )
    remark = f" -- {example.remark}" if example.remark else ""
    console.print(Text(_encodable(f"\n{printable(title + remark)}", console), style="bold"), soft_wrap=True)
    for turn in example.turns:
        label = f"  {turn.label}: {count_text(len(turn.tokens), 'token')}, {turn.num_targets} {meaning}"
        console.print(Text(_encodable(label, console), style="cyan"), soft_wrap=True)
        console.print(_coloured(turn, console) if in_colour else _bracketed(turn, console), soft_wrap=True)


def print_legend(console: Console, *, meaning: str) -> None:
    """What the marks mean; `meaning` is what a marked token is."""
    if console.is_terminal and not console.no_color:
        legend = Text.assemble(
            (" marked ", _TARGET[0]), f" {meaning}  ", (" read ", _CONTEXT[0]), " only read  ",
            (" cut ", _CUT[0]), " behind max_length  ", ("<special>", _SPECIAL), " special token",
        )  # fmt: skip
    else:
        legend = Text(f"[marked] {meaning}  {{read}} only read  (cut) behind max_length")
    console.print(legend, soft_wrap=True)


def _coloured(turn: ViewedTurn, console: Console) -> Text:
    text = Text()
    for number, token in enumerate(turn.tokens):
        style = (_CUT if token.is_cut else _TARGET if token.is_target else _CONTEXT)[number % 2]
        text.append(_encodable(token.text, console), f"{_SPECIAL} {style}" if token.is_special else style)
        if token.ends_line:
            text.append("\n")
    text.rstrip()
    return text


def _bracketed(turn: ViewedTurn, console: Console) -> Text:
    pieces = [_in_brackets(token) + ("\n" if token.ends_line else "") for token in turn.tokens]
    return Text(_encodable("".join(pieces).rstrip("\n"), console))


def _in_brackets(token: ViewedToken) -> str:
    if token.is_cut:
        return f"({token.text})"
    return f"[{token.text}]" if token.is_target else f"{{{token.text}}}"


def _encodable(text: str, console: Console) -> str:
    return text.encode(console.encoding, "backslashreplace").decode(console.encoding)
