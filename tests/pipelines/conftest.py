"""What pipelines do is not what curves look like: drawing them would be most of these tests' time."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _without_curves(monkeypatch):
    monkeypatch.setattr("posttrain.recipes.session.TrainingSession.write_report", lambda self: None)
