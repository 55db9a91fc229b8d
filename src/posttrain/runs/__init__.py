"""What a run writes, and what reads it. Imports no torch.

Writes: `RunFolder` (names, lock, facts), `RunLog` (rows that survive a crash), `append_samples`.
Reads: `LiveView` and `check_health` while it runs; `plot_curve`, `summary_lines` and `write_samples_page` at
its end; `compare_configs` when it is resumed.
"""

from posttrain.runs.health import Alarm, check_health, new_alarms
from posttrain.runs.live_view import LiveView
from posttrain.runs.metric_names import METRICS, TIMINGS
from posttrain.runs.report import plot_curve, summary_lines
from posttrain.runs.resume import Difference, compare_configs, refuse_changes
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_log import RunLog, read_metrics, read_rows
from posttrain.runs.samples import append_samples, write_samples_page

__all__ = [
    "METRICS",
    "TIMINGS",
    "Alarm",
    "Difference",
    "LiveView",
    "RunFolder",
    "RunLog",
    "append_samples",
    "check_health",
    "compare_configs",
    "new_alarms",
    "plot_curve",
    "read_metrics",
    "read_rows",
    "refuse_changes",
    "summary_lines",
    "write_samples_page",
]
