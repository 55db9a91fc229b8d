"""`posttrain store import` and `posttrain store export`: files into a preference store, and out of it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from posttrain.commands.rank import this_login_name
from posttrain.config.store import StoreExportConfig, StoreImportConfig
from posttrain.data.demonstrations import Dropped
from posttrain.preferences.exporting.export_file import export_store
from posttrain.preferences.importing.import_file import ImportReport, ImportSettings, import_files
from posttrain.preferences.store.audit import at_command_line
from posttrain.preferences.store.database import open_store
from posttrain.runs.metric_names import count_text


def import_into_store(config: StoreImportConfig) -> None:
    """Imports the files, and says what came in and what did not."""
    settings = ImportSettings(
        format=None if config.format == "auto" else config.format,
        judgements=config.judgements,
        prefix=config.prefix,
        join=config.join,
        annotator=config.annotator,
        annotator_names=config.annotator_names,
        prompt_field=config.prompt_field,
        response_fields=config.response_fields,
        buckets=config.buckets,
    )
    with open_store(config.store, must_exist=False) as store:
        report = import_files(store, config.files, settings, by=at_command_line(this_login_name()))
        _print([*summary(report), f"store {store.where}; to rank: posttrain rank {store.where}"])


def summary(report: ImportReport) -> list[str]:
    """What an import came to, in lines."""
    items = f"{count_text(report.num_items_added, 'prompt')} added"
    if report.num_items_known:
        items += f", {report.num_items_known:,} known already"
    lines = [f"{items} ({count_text(report.num_records, 'record')}, read as {report.format})"]
    if report.num_judgements_added or report.num_judgements_known:
        judgements = f"{count_text(report.num_judgements_added, 'judgement')} added"
        if report.num_judgements_known:
            judgements += f", {report.num_judgements_known:,} known already"
        lines.append(judgements)
    if report.new_annotators:
        lines.append(
            f"new annotators: {', '.join(report.new_annotators)} (posttrain annotators invite lets one sign in)"
        )
    return [*lines, *_left_out(report.left_out)]


def export_from_store(config: StoreExportConfig) -> None:
    """Writes the file, and says what is in it and what is not."""
    with open_store(config.store) as store:
        report = export_store(
            store,
            config.file,
            config.format,
            ties=config.ties,
            cut=config.cut,
            as_messages=config.messages,
            good_from=config.good_from,
            by=at_command_line(this_login_name()),
        )
    _print(
        [
            f"{count_text(report.num_rows, 'row')} of {config.format}",
            *_left_out(report.left_out),
            f"file {report.path}",
        ]
    )


def _left_out(dropped: Iterable[Dropped]) -> list[str]:
    return [str(entry) for entry in dropped]


def _print(lines: Iterable[str]) -> None:
    Console().print(escape("\n".join(lines)), highlight=False, soft_wrap=True)
