"""The kinds of values that `kubernetes:` takes: Kubernetes' own rules for names, labels and taints."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from bodywork.spec.names import is_label
from bodywork.spec.report import did_you_mean
from bodywork.spec.tree import WrittenFloat, WrittenInt, describe, quote, written
from bodywork.spec.values import sentences

OBJECT = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
LONGEST_OBJECT = 253
LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
LONGEST_LABEL = 63
OPERATORS = ("Equal", "Exists")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
OURS = "bodywork/"


def is_object_name(name: str) -> bool:
    """Whether an object can have this name (RFC 1123 subdomain)."""
    return len(name) <= LONGEST_OBJECT and OBJECT.fullmatch(name) is not None


def _object_name(name: str) -> str:
    if not is_object_name(name):
        raise ValueError(f'must be a name with lower-case letters, digits, "-" and ".", not {quote(name)}')
    return name


def _gateway(name: str) -> str:
    namespace, slash, gateway = name.rpartition("/")
    if not is_object_name(gateway) or (slash and not is_label(namespace)):
        raise ValueError(f"must be NAME or NAMESPACE/NAME, not {quote(name)}")
    return name


def _folder(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f'must be a folder whose path begins with "/", not {quote(path)}')
    return path


def _label_key(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if len(name) > LONGEST_LABEL or not LABEL_NAME.fullmatch(name) or (slash and not is_object_name(prefix)):
        raise ValueError(f"{quote(key)} must be a key like disktype or example.com/disktype")
    return key


def _annotation_key(key: str) -> str:
    if key.startswith(OURS):
        raise ValueError(f"keys that begin with {OURS} are set by bodywork itself")
    return _label_key(key)


def _quoted(value: Any) -> Any:
    """Text; a number stands for its text, and what else YAML makes of a word has to be quoted."""
    if isinstance(value, bool):
        raise ValueError(f'YAML reads {written(value)} as a truth value: write "{written(value)}" in quotes')
    if isinstance(value, WrittenInt | WrittenFloat):
        return value.text
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {describe(value)}")
    return value


def _label_value(value: str) -> str:
    if len(value) > LONGEST_LABEL or (value and not LABEL_NAME.fullmatch(value)):
        rule = 'must have at most 63 letters, digits, "-", "_" and "."'
        raise ValueError(f"{rule}, and begin and end with a letter or digit, not {quote(value)}")
    return value


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def read(word: str) -> str:
        if word not in words:
            known = f"{', '.join(words[:-1])} or {words[-1]}"
            raise ValueError(f"must be {known}, not {quote(word)}{did_you_mean(word, words)}")
        return word

    return read


def _text(read: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(sentences(read))


TEXT = WithJsonSchema({"type": "string"})

ObjectName = Annotated[str, _text(_object_name), TEXT]
GatewayName = Annotated[
    str, _text(_gateway), WithJsonSchema({"type": "string", "examples": ["web", "gateways/web"]})
]
FolderPath = Annotated[str, _text(_folder), WithJsonSchema({"type": "string", "pattern": "^/"})]
LabelKey = Annotated[str, _text(_label_key)]
AnnotationKey = Annotated[str, _text(_annotation_key)]
Quoted = Annotated[str, BeforeValidator(sentences(_quoted)), WithJsonSchema({"type": ["string", "number"]})]
LabelValue = Annotated[Quoted, _text(_label_value), WithJsonSchema({"type": ["string", "number"]})]
Operator = Annotated[str, _text(_one_of(OPERATORS)), WithJsonSchema({"enum": list(OPERATORS)})]
Effect = Annotated[str, _text(_one_of(EFFECTS)), WithJsonSchema({"enum": list(EFFECTS)})]
