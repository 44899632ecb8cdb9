"""What all mappings of the native form have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Form(BaseModel):
    """Keys and values of one mapping. Unknown keys are errors; nothing is converted silently."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
