"""Stages that hand their outputs to each other: read, checked, and run where something changed.

Flow: `PipelineConfig` -> `read_stages` (names, settings, references) -> `choose` (--only, --from, --skip) -> `check`
-> `judge` each (done, to go on with, to do again) -> its recipe -> pipeline.json.
The one room that knows several recipes: no recipe imports another.
"""

from posttrain.pipelines.run import PipelineResult, PlannedStage, pipeline, plan

__all__ = ["PipelineResult", "PlannedStage", "pipeline", "plan"]
