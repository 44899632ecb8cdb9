"""The old forms, `version: "1.0"` and `"1.1"`, as they are written.

Files of that time were never checked, so whatever can be understood is taken: text for numbers,
one value for a list of one, nothing for the default.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bodywork.spec.tree import describe, written
from bodywork.spec.values import sentences

YES = frozenset({"true", "yes", "on", "y", "1"})
NO = frozenset({"false", "no", "off", "n", "0", ""})


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value)
    return written(value) if isinstance(value, int | float) else value


def _list(value: Any) -> Any:
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    return [item for item in items if item is not None] if not isinstance(value, dict) else value


def _mapping(value: Any) -> Any:
    return {} if value is None else value


def _amount(*, whole: bool, least: float) -> Callable[[Any], Any]:
    """Reads a number, also one written as text, not below `least`; nothing stays nothing."""
    what = "a whole number" if whole else "a number"

    def read(value: Any) -> Any:
        if value is None:
            return None
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number) or abs(number) > 1e15:
            raise ValueError(f"must be {what}, not {describe(value)}")
        if number < least:
            raise ValueError(f"must be at least {least:g}, not {written(value)}")
        return math.ceil(number) if whole else number

    return sentences(read)


def _port(value: Any) -> Any:
    number = _amount(whole=True, least=1)(value)
    if number is not None and number > 65535:
        raise ValueError(f"must be at most 65535, not {written(value)}")
    return number


def _switch(value: Any) -> bool:
    word = written(value).strip().lower() if not isinstance(value, dict | list) else "?"
    if word not in YES | NO:
        raise ValueError(f"must be true or false, not {describe(value)}")
    return word in YES


OldText = Annotated[str, BeforeValidator(_text)]
OldTexts = Annotated[list[OldText], BeforeValidator(_list)]
OldWhole = Annotated[int | None, BeforeValidator(_amount(whole=True, least=0))]
OldShare = Annotated[float | None, BeforeValidator(_amount(whole=False, least=0))]
OldReplicas = Annotated[int | None, BeforeValidator(_amount(whole=True, least=1))]
OldPort = Annotated[int, BeforeValidator(sentences(_port))]
OldSwitch = Annotated[bool, BeforeValidator(sentences(_switch))]


class OldForm(BaseModel):
    """Keys and values of one mapping of an old file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class OldHead(OldForm):
    name: OldText
    docker_image: OldText | None = None
    DAG: OldText | None = None
    workflow: OldText | None = None
    usage_stats: Any = None
    run_on_failure: OldText | None = None
    secrets_group: OldText | None = None


class OldBatch(OldForm):
    max_completion_time_seconds: OldWhole = None
    retries: OldWhole = None


class OldService(OldForm):
    port: OldPort
    max_startup_time_seconds: OldWhole = None
    replicas: OldReplicas = None
    ingress: OldSwitch = False


class OldStage(OldForm):
    executable_module_path: OldText | None = None
    executable_module: OldText | None = None
    args: OldTexts = Field(default_factory=list)
    requirements: OldTexts = Field(default_factory=list)
    cpu_request: OldShare = None
    memory_request_mb: OldShare = None
    gpu_request: OldWhole = None
    batch: Annotated[OldBatch | None, BeforeValidator(_mapping)] = None
    service: Annotated[OldService | None, BeforeValidator(_mapping)] = None
    secrets: Annotated[dict[str, OldText], BeforeValidator(_mapping)] = Field(default_factory=dict)
    env: Annotated[dict[str, OldText | None], BeforeValidator(_mapping)] = Field(default_factory=dict)


class OldLogging(OldForm):
    log_level: OldText | None = None


class OldProject(OldForm):
    version: Any = None
    project: OldHead | None = None
    pipeline: OldHead | None = None
    stages: dict[str, OldStage]
    logging: OldLogging | None = None


STAND_INS: dict[str, Any] = {"name": "project", "stages": {}, "port": 1}
"""What later checks see in place of a required value that is wrong."""
