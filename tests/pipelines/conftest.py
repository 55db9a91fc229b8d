"""What pipelines do is not what curves look like: drawing them would be most of these tests' time."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny_models import save_tiny_model


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", seed=1)


@pytest.fixture(autouse=True)
def _without_curves(monkeypatch):
    monkeypatch.setattr("posttrain.recipes.session.TrainingSession.write_report", lambda self: None)
