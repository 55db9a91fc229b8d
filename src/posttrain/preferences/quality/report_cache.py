"""Reports for a server: computed again only where something new was judged, and by one request at a time."""

from __future__ import annotations

import threading
import weakref
from typing import Final

from posttrain.preferences.quality.report import QualityReport, quality_report
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.judgements import newest_judgement_id

REST: Final = 10.0
"""A report that took a second to compute holds for so many seconds at least: people may go on ranking meanwhile."""
LONGEST: Final = 600.0
"""Seconds after which a report is computed again in any case: names and roles may have changed."""

RECENT: Final = 60.0
"""Seconds for which a report is good enough where only the list of disagreements is looked at."""


class ReportCache:
    """The newest report of a store. Safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        self._store: weakref.ref[Store] = weakref.ref(store)  # as a cache of stores it must not keep them
        self._checkpoints: dict[int, tuple[str, ...]] = {}
        self._report: QualityReport | None = None
        self._one_at_a_time = threading.Lock()

    def report(self, *, fresh: bool = False) -> QualityReport:
        """The report as of now, or as of shortly before where computing takes long; `fresh` is as of now."""
        store = self._store()
        if store is None:
            raise RuntimeError("the store of these reports is gone")
        with self._one_at_a_time:  # who waits here finds what the one before computed
            if self._report is None or self._is_outdated(self._report, store, fresh):
                self._report = quality_report(store, checkpoints=self._checkpoints)
            return self._report

    def recent(self) -> QualityReport:
        """A report of the last minute, whatever was judged since: for pages that show little of it."""
        report, store = self._report, self._store()
        if report is not None and store is not None and 0 <= store.now() - report.computed_at < RECENT:
            return report
        return self.report()

    @staticmethod
    def _is_outdated(report: QualityReport, store: Store, fresh: bool) -> bool:
        age = store.now() - report.computed_at
        if age > LONGEST or age < 0:
            return True
        if newest_judgement_id(store) == report.newest_judgement_id:
            return False
        return fresh or age >= REST * report.took_seconds


_caches: weakref.WeakKeyDictionary[Store, ReportCache] = weakref.WeakKeyDictionary()
_making_one = threading.Lock()


def cache_of(store: Store) -> ReportCache:
    """The one cache of this store in this process."""
    with _making_one:
        if store not in _caches:
            _caches[store] = ReportCache(store)
        return _caches[store]
