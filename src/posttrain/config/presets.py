"""What the algorithms' sections have in common: a preset that other keys override, and a KL that must act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from posttrain.config.sections import Section


class PresetSection(Section):
    """An algorithm's settings; a subclass declares `presets`, `preset` with its default, and the settings of the KL."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    """Preset name -> the settings that it brings."""

    @model_validator(mode="before")
    @classmethod
    def _preset_first(cls, given: Any) -> Any:
        """The preset's values, overridden by the keys that the user wrote."""
        if isinstance(given, dict):
            preset = given.get("preset", cls.model_fields["preset"].default)
            return {**cls.presets.get(preset if isinstance(preset, str) else "", {}), **given}
        return given

    @model_validator(mode="after")
    def _kl_acts(self) -> Self:
        settings: Any = self
        if settings.kl_in == "loss" and settings.kl_coef > 0 and settings.kl == "k1":
            raise ValueError(
                'algorithm.kl = "k1" as a loss has zero gradient on average and would not hold the policy '
                'near the reference. Use kl = "k2" or "k3" or "exact_reverse", or kl_in = "reward".'
            )
        return self
