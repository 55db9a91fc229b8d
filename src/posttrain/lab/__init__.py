"""Measurements where the truth is known: how wrong the estimators are that training relies on.

`posttrain lab advantages` is the command; `measure` gives the same numbers to Python.
"""

from posttrain.lab.advantage_lab import AdvantageLab, measure
from posttrain.lab.worked_examples import WorkedExample, worked_examples

__all__ = ["AdvantageLab", "WorkedExample", "measure", "worked_examples"]
