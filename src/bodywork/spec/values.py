"""The kinds of values that the native form's keys take: how each is checked, and its JSON Schema.

Every fault is a `PydanticCustomError` of type SENTENCE whose message is ready to be shown.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from bodywork.spec import cron, quantity, requirement
from bodywork.spec.names import LABEL, LONGEST, is_label, label
from bodywork.spec.report import did_you_mean
from bodywork.spec.tree import WrittenFloat, WrittenInt, describe, quote

SENTENCE = "sentence"

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ARTIFACT = re.compile(r"[A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
SECRET = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
PYTHON = re.compile(r"3\.(\d{1,2})")
OLDEST_PYTHON = 8
STORES = ("s3", "gs", "az", "file")
LONGEST_PATH = 1000
MOST_OFTEN = 10.0
"""Seconds between two looks at a repository, at the least."""


def wrong(sentence: str) -> PydanticCustomError:
    """An error that says `sentence` as it is."""
    return PydanticCustomError(SENTENCE, "{sentence}", {"sentence": sentence})


def sentences(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`read` with its ValueErrors as ready messages."""

    def checked(value: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            raise wrong(str(error)) from None

    return checked


def _name(name: str) -> str:
    if len(name) > LONGEST:
        raise ValueError(f"{quote(name)} has {len(name)} characters, {LONGEST} is the most")
    if not is_label(name):
        rule = 'must have only lower-case letters, digits and "-", and begin with a letter'
        raise ValueError(f"{quote(name)} {rule} (did you mean {quote(label(name, 'project'))}?)")
    return name


def _python(value: Any) -> str:
    if isinstance(value, WrittenFloat):
        number = "a number" if str(float(value)) == value.text else f"the number {float(value)}"
        raise ValueError(f'YAML reads {value.text} as {number}: write "{value.text}" in quotes')
    if not isinstance(value, str) or not (found := PYTHON.fullmatch(value)):
        exact = isinstance(value, str) and re.fullmatch(r"(3\.\d{1,2})\.\d+", value)
        hint = f' (did you mean "{exact[1]}"?)' if exact else ""
        raise ValueError(f'must be a Python version like "3.12", not {describe(value)}{hint}')
    if int(found[1]) < OLDEST_PYTHON:
        raise ValueError(f"Python {value} is too old: stages run on 3.{OLDEST_PYTHON} and newer")
    return value


def _argument(value: Any) -> Any:
    return value.text if isinstance(value, WrittenInt | WrittenFloat) else value


def _requirement(line: str) -> str:
    if fault := requirement.fault(line):
        raise ValueError(f"{quote(line)}{' ' if fault.startswith('is not') else ': '}{fault}")
    return line.strip()


def _variable(name: str) -> str:
    if not VARIABLE.fullmatch(name):
        raise ValueError('a variable\'s name has letters, digits and "_", and does not begin with a digit')
    if name.startswith("BODYWORK_"):
        raise ValueError("names that begin with BODYWORK_ are set by bodywork itself")
    return name


def _artifact(name: str) -> str:
    if not ARTIFACT.fullmatch(name):
        raise ValueError('an artifact\'s name has letters, digits, "-" and "_", and begins with a letter')
    return name


def _secret(name: str) -> str:
    if len(name) > 253 or not SECRET.fullmatch(name):
        raise ValueError(f'a secret\'s name has lower-case letters, digits, "-" and ".", not {quote(name)}')
    return name


def _secret_key(name: str) -> str:
    if not VARIABLE.fullmatch(name):
        raise ValueError(f'a key of a secret has letters, digits and "_", not {quote(name)}')
    return name


def _web_address(text: str) -> str:
    """What is wrong with it is said without it: it is as good as a password."""
    if not re.fullmatch(r"https?://[^/\s?#]+([/?]\S*)?", text):
        raise ValueError("must be an address that begins with https://, without blanks")
    return text


def _artifact_file(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\\" in name or len(name) > 255:
        raise ValueError(f"must be a file name without folders, not {quote(name)}")
    return name


def _source(text: str) -> str:
    stage, dot, output = text.rpartition(".")
    if not (dot and stage and output):
        raise ValueError(f"must be STAGE.OUTPUT, like train.model, not {quote(text)}")
    return text


def _url_path(path: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*", path):
        raise ValueError(f'must be a path that begins with "/", not {quote(path)}')
    return path


def _cron(text: str) -> str:
    if text.startswith("@") and text not in cron.WORDS:
        known = ", ".join(cron.WORDS)
        raise ValueError(f"{quote(text)} must be one of {known}{did_you_mean(text, list(cron.WORDS))}")
    cron.Cron.parse(text)
    return text


def _timezone(name: str) -> str:
    known = zoneinfo.available_timezones()
    # A machine without a time zone database cannot tell; scheduling there says so itself.
    if known and name not in known:
        hint = did_you_mean(name, known) or ": write one like Europe/London"
        raise ValueError(f"no time zone {quote(name)}{hint}")
    return name


def _push_interval(value: Any) -> float:
    """Hosts of repositories would not like to be asked more often."""
    seconds = quantity.seconds(value)
    if not MOST_OFTEN <= seconds <= 24 * 3600:
        raise ValueError(f"must be from {MOST_OFTEN:g}s to 24h, not {value}")
    return seconds


def _store(address: str) -> str:
    scheme, sep, rest = address.partition("://")
    if not sep or scheme not in STORES or not rest:
        begins = ", ".join(f"{known}://" for known in STORES)
        raise ValueError(f"must be an address that begins with one of {begins}, not {quote(address)}")
    return address


def _resolve(text: str) -> str:
    if text in ("commit", "latest"):
        return text
    try:
        if len(text) == 10:
            date.fromisoformat(text)
        elif datetime.fromisoformat(text).tzinfo is None:
            raise ValueError
    except ValueError:
        near = did_you_mean(text, ("commit", "latest"))
        dates = "a date like 2024-05-31 or 2024-05-31T12:00:00Z"
        raise ValueError(f"must be commit, latest, or {dates}, not {quote(text)}{near}") from None
    return text


def _image(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", name):
        raise ValueError(f"must be the name of an image like python:3.12-slim, not {quote(name)}")
    return name


def _which(value: Any) -> str | None:
    return "packages" if isinstance(value, list) else "file" if isinstance(value, str) else None


def _schema(pattern: str | re.Pattern[str], *examples: str) -> WithJsonSchema:
    text = pattern if isinstance(pattern, str) else f"^{pattern.pattern}$"
    return WithJsonSchema({"type": "string", "pattern": text, "examples": list(examples)})


def _text(read: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(sentences(read))


NUMBER_OR_TEXT = WithJsonSchema({"type": ["string", "number"]})

Name = Annotated[str, _text(_name), _schema(LABEL, "iris")]
Python = Annotated[str, BeforeValidator(sentences(_python)), _schema(PYTHON, "3.12")]
Argument = Annotated[str, BeforeValidator(_argument), NUMBER_OR_TEXT]
Variable = Annotated[str, _text(_variable)]
Artifact = Annotated[str, _text(_artifact)]
ArtifactFile = Annotated[str, _text(_artifact_file)]
ArtifactSource = Annotated[str, _text(_source), _schema(r"^.+\..+$", "train.model")]
SecretName = Annotated[str, _text(_secret), _schema(SECRET, "aws-credentials")]
SecretKey = Annotated[str, _text(_secret_key)]
WebAddress = Annotated[str, _text(_web_address), _schema("^https?://")]
UrlPath = Annotated[str, _text(_url_path), _schema("^/", "/health")]
Cron = Annotated[str, _text(_cron), WithJsonSchema({"type": "string", "examples": ["0 6 * * 1-5", "@daily"]})]
TimeZone = Annotated[str, _text(_timezone)]
Store = Annotated[str, _text(_store), _schema(f"^({'|'.join(STORES)})://", "s3://ml-models/iris")]
Resolve = Annotated[str, _text(_resolve)]
Image = Annotated[str, _text(_image)]
Duration = Annotated[
    float,
    BeforeValidator(sentences(quantity.seconds)),
    _schema(r"^(\d+(\.\d+)?h)?(\d+(\.\d+)?m)?(\d+(\.\d+)?s)?$", "90s", "20m", "1h30m"),
]
PushInterval = Annotated[
    float,
    BeforeValidator(sentences(_push_interval)),
    _schema(r"^(\d+(\.\d+)?h)?(\d+(\.\d+)?m)?(\d+(\.\d+)?s)?$", "60s", "5m"),
]
Memory = Annotated[
    int,
    BeforeValidator(sentences(quantity.memory)),
    _schema(r"^\d+(\.\d+)?(k|M|G|T|Ki|Mi|Gi|Ti)$", "512Mi", "2Gi"),
]
Cpu = Annotated[
    float,
    BeforeValidator(sentences(quantity.cores)),
    WithJsonSchema({"type": ["number", "string"], "examples": [0.5, 2, "500m"]}),
]
Packages = Annotated[
    Annotated[list[Annotated[str, _text(_requirement)]], Tag("packages")] | Annotated[str, Tag("file")],
    Discriminator(
        _which,
        custom_error_type=SENTENCE,
        custom_error_message="must be a list of packages, or the path of a requirements file",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
