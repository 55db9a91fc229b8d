"""The page of all numbers: `GET /quality`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from posttrain.preferences.quality import enough
from posttrain.preferences.quality.enough import TooFew
from posttrain.preferences.quality.evidence import SECONDS_IN_A_DAY
from posttrain.preferences.quality.report import QualityReport
from posttrain.preferences.quality.report_cache import cache_of
from posttrain.preferences.quality.settling import settled_items
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.judgements import newest_judgement_id
from posttrain.preferences.store.progress import store_progress
from posttrain.preferences.store.public_ids import public_ids_of
from posttrain.web.pages import page
from posttrain.web.quality import words
from posttrain.web.quality.pictures import day_bars, interval_marks
from posttrain.web.quality.remarks import remarks
from posttrain.web.quality.tiles import tiles

LISTED = 12
"""Disagreements and flagged items in sight; as many as four times more unfold."""
UNFOLDED = 5 * LISTED


def quality_page(request: Request) -> Response:
    """The report of the store; `?now` computes it again where something was judged since."""
    store: Store = request.app.state.store
    report = cache_of(store).report(fresh="now" in request.query_params)
    marks, middle = interval_marks(report.checkpoints)
    settled = settled_items(store)
    to_settle = [own for own in report.to_settle if own.item_id not in settled]
    names = {own.person.annotator_id: own.person.name for own in report.people}
    flagged = [
        (item, [names[annotator] for annotator in annotators])
        for item, annotators in sorted(report.flagged.items())
        if item not in settled
    ]
    listed = [own.item_id for own in to_settle[:UNFOLDED]] + [item for item, _ in flagged[:UNFOLDED]]
    with store.reading() as connection:
        public_ids = public_ids_of(connection, listed)
    return page(
        request,
        "quality.html",
        public_ids=public_ids,
        report=report,
        remarks=remarks(report),
        tiles=tiles(report, store_progress(store)),
        num_new=max(0, newest_judgement_id(store) - report.newest_judgement_id),
        bars=day_bars(report.per_day, int(store.now() // SECONDS_IN_A_DAY)),
        matrix=matrix_rows(report),
        marks=marks,
        middle=middle,
        to_settle=to_settle[:UNFOLDED],
        num_in_sight=LISTED,
        num_to_settle=len(to_settle),
        num_settled=len(settled),
        flagged=flagged[:UNFOLDED],
        num_flagged=len(flagged),
        words=words,
        enough=enough,
        is_too_few=lambda number: isinstance(number, TooFew),
    )


def matrix_rows(report: QualityReport) -> list[list[tuple[str, str, str]]]:
    """For each person of the matrix a row of cells: text, class of its shade, and what it says in full."""
    rows = []
    for one in report.in_matrix:
        row = []
        for other in report.in_matrix:
            if one.annotator_id == other.annotator_id:
                row.append(("", "self", ""))
                continue
            low, high = sorted((one.annotator_id, other.annotator_id))
            own = report.matrix.get((low, high))
            if own is None or own.pairs is None or own.pairs.num_items < enough.MIN_SHARED_ITEMS:
                have = own.pairs.num_items if own and own.pairs else 0
                row.append(("·", "unknown", words.too_few(TooFew(have, enough.MIN_SHARED_ITEMS))))
                continue
            level = min(5, max(0, int((own.pairs.value - 0.4) * 10)))
            tau = "" if own.tau_b is None else f", tau-b {words.decimal(own.tau_b)}"
            full = f"{words.percent_range(own.pairs.interval)}{tau}, {words.count(own.num_items, 'item')}"
            row.append((words.percent(own.pairs.value), f"level-{level}", full))
        rows.append(row)
    return rows
