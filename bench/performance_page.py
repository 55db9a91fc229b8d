"""From a file of results to the tables and pictures of docs/performance.md.

    .venv/bin/python bench/performance_page.py bench/results/2026-11-22-2-core-cpu.json

What stands between the two markers in the page is replaced; the words around it are people's. Every figure is the
median over rounds, with the least and the most where there were several.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
PICTURES: Final = PAGE.parent / "pictures"
BEGIN, END = "<!-- measured: written by bench/performance_page.py -->", "<!-- end of what was measured -->"
Entry = Mapping[str, Any]


def main() -> None:
    """Writes the page's middle and its pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("results", type=Path)
    options = parser.parse_args()
    found = json.loads(options.results.read_text())
    measured: list[Entry] = [entry for entry in found["measured"] if "failed" not in entry]
    parts = [
        machine_line(found["machine"], options.results),
        generation_table([e for e in measured if e["part"] == "generation"]),
        grpo_table([e for e in measured if e["part"] == "grpo"]),
        update_table([e for e in measured if e["part"] == "update"]),
        memory_table([e for e in measured if e["part"] == "memory"]),
        startup_table([e for e in measured if e["part"] == "startup"]),
        failures([entry for entry in found["measured"] if "failed" in entry]),
    ]
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    middle = "\n\n".join(part for part in parts if part)
    PAGE.write_text(f"{before}{BEGIN}\n\n{middle}\n\n{END}{after}")
    draw(measured)


def machine_line(machine: Entry, file: Path) -> str:
    """What was measured, when and on what."""
    instructions = ", ".join(machine["instructions"])
    cores = f"{machine['cores']} cores of {machine['cpu']} ({instructions}), {machine['memory_gib']} GiB"
    every_round = f"every round is in [{file.name}](../bench/results/{file.name})"
    return f"{machine['date']}, {cores}, commit {machine['posttrain_commit']}; {every_round}."


def generation_table(entries: Sequence[Entry]) -> str:
    """Tokens a second by shape and program, and how many times as many ours are."""
    if not entries:
        return ""
    shapes = _grouped(entries, lambda e: (e["max_new_tokens"], e["prompts"], e["responses"]))
    rows = []
    for (length, prompts, responses), of_shape in shapes.items():
        by_program = _grouped(of_shape, lambda e: (e["program"], e["dtype"]))
        speeds = {name: [e["tokens_per_second"] for e in found] for name, found in by_program.items()}
        own = statistics.median(speeds.get(("posttrain", "bfloat16"), [float("nan")]))
        for (program, dtype), values in speeds.items():
            ratio = "" if program == "posttrain" else f"{own / statistics.median(values):.1f}x"
            version = next((e["version"] for e in by_program[program, dtype] if "version" in e), "")
            rows.append(
                [f"{prompts}x{responses}, at most {length}", f"{program} {version}".strip(), dtype, _range(values, 0),
                 ratio, _range([e["peak_memory_mib"] for e in by_program[program, dtype]], 0)]
            )  # fmt: skip
    header = ["prompts x responses, tokens", "program", "dtype", "tokens/s", "ours is", "peak MiB"]
    return "### Generation\n\n" + _table(header, rows)


def grpo_table(entries: Sequence[Entry]) -> str:
    """Seconds of a step by shape and program with its parts, and how many times as fast ours is."""
    if not entries:
        return ""
    shapes = _grouped(
        entries, lambda e: (e["kind"], e["prompts"], e["responses"], e["max_new_tokens"], e["kl_coef"])
    )
    rows = []
    for (_, prompts, responses, length, kl), of_shape in shapes.items():
        by_program = _grouped(of_shape, lambda e: (e["program"], e["setting"]))
        seconds = {name: [e["step_seconds"]["median"] for e in found] for name, found in by_program.items()}
        own = next(statistics.median(v) for (program, _), v in seconds.items() if program == "posttrain")
        for (program, setting), values in seconds.items():
            found = by_program[program, setting]
            parts = {
                name: statistics.median([e["parts"].get(name, 0.0) for e in found])
                for name in ("generate", "score", "logprobs", "update")
            }
            tokens = [count for e in found for count in e["tokens_trained"]]
            ratio = "" if program == "posttrain" else f"{statistics.median(values) / own:.1f}x"
            rows.append(
                [f"{prompts}x{responses}, at most {length}, KL {'on' if kl else 'off'}", f"{program}, {setting}",
                 _range(values, 1), ratio, *(f"{parts[name]:.1f}" for name in parts),
                 f"{statistics.mean(tokens):,.0f}", _range([e["peak_memory_mib"] for e in found], 0)]
            )  # fmt: skip
    header = ["shape", "program", "s a step", "ours is", "generate", "score", "logprobs", "update", "tokens trained",
              "peak MiB"]  # fmt: skip
    return "### A GRPO step\n\n" + _table(header, rows)


def update_table(entries: Sequence[Entry]) -> str:
    """Seconds and useful operations of an update beside the ceilings of the same rounds."""
    ceilings = [e for e in entries if "update_bfloat16" in e]
    updates = _grouped(
        [e for e in entries if "update_seconds" in e],
        lambda e: (e["prompts"], e["responses"], e["response_tokens"], e["ragged"], e["dtype"]),
    )
    if not updates or not ceilings:
        return ""
    peak = {
        dtype: statistics.median([max(e[f"update_{dtype}"].values()) for e in ceilings])
        for dtype in ("bfloat16", "float32")
    }
    rows = []
    for (prompts, responses, length, ragged, dtype), found in updates.items():
        gflops = [e["useful_gflops"] for e in found]
        lengths = f"1 to {length}" if ragged else str(length)
        rows.append(
            [f"{prompts}x{responses}, {lengths}", dtype, _range([e["update_seconds"]["min"] for e in found], 2),
             _range(gflops, 0), f"{statistics.median(gflops) / peak[dtype]:.0%}",
             f"{statistics.median([e['tokens_trained'] / e['update_seconds']['min'] for e in found]):,.0f}"]
        )  # fmt: skip
    header = ["responses, tokens", "dtype", "s", "useful GFLOP/s", "of the ceiling", "response tokens/s"]
    rows_of_ceiling = sorted(ceilings[0]["forward_bfloat16"], key=int)
    by_rows = [
        [rows_count, *(f"{statistics.median([e[name].get(rows_count) or 0 for e in ceilings]):,.0f}" for name in
                       ("forward_bfloat16", "forward_prepacked_bfloat16", "update_bfloat16", "forward_float32"))]
        for rows_count in rows_of_ceiling
    ]  # fmt: skip
    memory = statistics.median([e["memory_gb_per_second"]["read"] for e in ceilings])
    return (
        "### An update alone\n\n" + _table(header, rows) + "\n\n### The ceilings\n\n"
        f"Matrix products of all linear layers, GFLOP/s; reading memory {memory:.0f} GB/s.\n\n"
        + _table(["rows", "forward, bf16", "prepacked, bf16", "update, bf16", "forward, fp32"], by_rows)
    )


def memory_table(entries: Sequence[Entry]) -> str:
    """Memory beyond the loaded model against group size, response length and vocabulary."""
    points = [point for entry in entries for point in entry["points"]]
    rows = [
        [p["point"], f"{p['prompts']}x{p['responses']}", str(p["response_tokens"]), f"{p['vocabulary']:,}",
         f"{p['mib']:,.0f}", f"{p['stored_mib']:.2f}"]
        for p in points
    ]  # fmt: skip
    header = [
        "of",
        "prompts x responses",
        "tokens",
        "vocabulary",
        "MiB beyond the model",
        "of it stored tokens",
    ]
    return "### Memory\n\n" + _table(header, rows) if rows else ""


def startup_table(entries: Sequence[Entry]) -> str:
    """Seconds of `--help` and until a first update."""
    if not entries:
        return ""
    rows = [
        ["`posttrain --help`", _range([e["help_seconds"]["median"] for e in entries], 2)],
        ["to the first update of `posttrain grpo`", _range([e["first_update_seconds"] for e in entries], 1)],
    ]
    return "### Start-up\n\n" + _table(["what", "s"], rows)


def failures(entries: Sequence[Entry]) -> str:
    """What could not be measured, so that nobody takes a missing row for a choice."""
    lines = [f"- `{entry['command']}`: {entry['failed']}" for entry in entries]
    return "### Not measured\n\n" + "\n".join(lines) if lines else ""


def draw(measured: Sequence[Entry]) -> None:
    """Tokens a second, and the parts of a GRPO step, as bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    speeds = _grouped(
        [e for e in measured if e["part"] == "generation" and e["dtype"] == "bfloat16"],
        lambda e: f"{e['prompts']}x{e['responses']}\n{e['max_new_tokens']} tokens",
    )
    if speeds:
        programs = list(dict.fromkeys(e["program"] for found in speeds.values() for e in found))
        figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
        for place, program in enumerate(programs):
            heights = [
                statistics.median([e["tokens_per_second"] for e in found if e["program"] == program] or [0.0])
                for found in speeds.values()
            ]
            left = [x + (place - (len(programs) - 1) / 2) * 0.27 for x in range(len(speeds))]
            axes.bar(left, heights, width=0.25, label=program)
        axes.set_xticks(range(len(speeds)), list(speeds))
        axes.set_ylabel("tokens per second")
        axes.legend()
        figure.savefig(PICTURES / "performance-generation.png", dpi=110)
    steps = _grouped(
        [e for e in measured if e["part"] == "grpo"],
        lambda e: (
            f"{e['prompts']}x{e['responses']}, {e['max_new_tokens']}",
            f"{e['program']}\n{e['setting']}",
        ),
    )
    if steps:
        figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
        names = [f"{program}\n{shape}" for shape, program in steps]
        base = [0.0] * len(steps)
        for part in ("generate", "score", "logprobs", "update"):
            heights = [
                statistics.median([e["parts"].get(part, 0.0) for e in found]) for found in steps.values()
            ]
            axes.barh(names, heights, left=base, label=part)
            base = [a + b for a, b in zip(base, heights, strict=True)]
        axes.invert_yaxis()
        axes.set_xlabel("seconds a GRPO step")
        axes.legend()
        figure.savefig(PICTURES / "performance-grpo.png", dpi=110)


def _grouped(entries: Iterable[Entry], key: Callable[[Entry], Any]) -> dict[Any, list[Entry]]:
    found: dict[Any, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[key(entry)].append(entry)
    return dict(found)


def _range(values: Sequence[float], digits: int) -> str:
    middle = f"{statistics.median(values):,.{digits}f}"
    return (
        middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
