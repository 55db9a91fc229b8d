"""`posttrain queue`: what people get first."""

from __future__ import annotations

from rich.console import Console

from posttrain.commands.rank import this_login_name
from posttrain.config.queue import QueueConfig
from posttrain.preferences.quality.queues import (
    Queued,
    clear_queues,
    queue_checkpoints,
    queue_disagreements,
)
from posttrain.preferences.store.audit import at_command_line, note_alone
from posttrain.preferences.store.database import Store, open_store
from posttrain.runs.metric_names import count_text


def queue_items(config: QueueConfig) -> None:
    """Fills the queue, notes it in the audit log, and says what stands in it."""
    with open_store(config.store) as store:
        lines = _fill(store, config)
        details = config.model_dump(mode="json", exclude={"store", "compute"}, exclude_defaults=True)
        note_alone(
            store, "queue_changed", by=at_command_line(this_login_name()), subject=config.by, details=details
        )
    Console().print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)


def _fill(store: Store, config: QueueConfig) -> list[str]:
    if config.by == "none":
        cleared = clear_queues(store)
        return [f"{count_text(sum(cleared.values()), 'item')} back in the order of import"]
    if config.by == "disagreement":
        found = queue_disagreements(
            store, extra_judges=config.extra_judges, at_least=config.at_least, limit=config.limit
        )
        return _said(found, "on which people differ and nobody has settled")
    if config.by == "models":
        return _said(
            queue_checkpoints(store, new=config.new, against=config.against, limit=config.limit),
            "that compare them and want more judges",
        )
    from posttrain.recipes.queue_by_uncertainty import queue_by_uncertainty

    assert config.reward_model is not None  # the settings' own check
    result = queue_by_uncertainty(store, config.reward_model, compute=config.compute, limit=config.limit)
    lines = _said(result.queued, "that want more judges")
    lines.append(
        f"the reward model's choice between two responses has {result.mean_bits:.2f} bits on average"
    )
    if result.num_too_long:
        lines.append(
            f"{count_text(result.num_too_long, 'item')} left out: longer than the reward model was made for"
        )
    return lines


def _said(found: Queued, which: str) -> list[str]:
    line = f"queue {found.queue}"
    if found.about:
        line += f" ({found.about})"
    line += f": {count_text(found.num_queued, 'item')} first, of {found.num_possible:,} {which}"
    if found.num_before:
        line += f"; {found.num_before:,} stood in it before"
    return [line]
