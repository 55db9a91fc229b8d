"""What a run writes, and what reads it. Imports no torch.

Writes: `RunFolder` (names, lock, facts), `RunLog` (rows that survive a crash).
Reads: `LiveView` while it runs.
"""

from posttrain.runs.live_view import LiveView
from posttrain.runs.metric_names import METRICS, TIMINGS
from posttrain.runs.resume import Difference, compare_configs, refuse_changes
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_log import RunLog, read_metrics, read_rows

__all__ = [
    "METRICS",
    "TIMINGS",
    "Difference",
    "LiveView",
    "RunFolder",
    "RunLog",
    "compare_configs",
    "read_metrics",
    "read_rows",
    "refuse_changes",
]
