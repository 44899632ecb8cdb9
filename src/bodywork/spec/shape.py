"""A form against a file: every unknown key, missing key and wrong type, in sentences.

What is wrong is then replaced by a stand-in, so that the checks that follow can still look at the
rest of the file and all problems are reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bodywork.spec.report import Report, did_you_mean, nearest
from bodywork.spec.tree import Path, describe, plain, quote, written

Model = TypeVar("Model", bound=BaseModel)

MOST_ROUNDS = 5


def fit(model: type[Model], report: Report, stand_ins: Mapping[str, Any], *, lenient: bool) -> Model:
    """The file as `model`; where it does not fit, that is in the report and a stand-in is here.

    `lenient`: an unknown key is a warning. `stand_ins` has a value for every required key.
    """
    value = plain(report.root)
    for _ in range(MOST_ROUNDS):
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                path = _path(report, fault["loc"], missing=fault["type"] == "missing")
                _tell(model, report, path, fault, lenient=lenient)
                _replace(model, value, path, missing=fault["type"] == "missing", stand_ins=stand_ins)
    raise AssertionError(f"no stand-ins for {model.__name__}")


def _path(report: Report, location: tuple[str | int, ...], *, missing: bool) -> Path:
    """A location of pydantic without what is not in the file: branches of unions, `[key]`."""
    path: list[str | int] = []
    node = report.root
    for segment in location:
        if (below := node.below(segment)) is not None:
            path.append(segment)
            node = below
    return (*path, location[-1]) if missing else tuple(path)


def _tell(model: type[BaseModel], report: Report, path: Path, fault: Any, *, lenient: bool) -> None:
    kind = fault["type"]
    if kind == "extra_forbidden":
        message = "unknown key" + (", ignored" if lenient else "") + _suggestion(model, path)
        (report.warn if lenient else report.error)(path, message, key=True)
    elif kind == "missing":
        report.error(path, "required key is missing", key=True)
    else:
        report.error(path, sentence(fault), key=fault["loc"][-1] == "[key]")
    report.mark(path)


def sentence(fault: Any) -> str:
    """What a fault that pydantic found is, in words."""
    kind, value, context = fault["type"], fault["input"], fault.get("ctx", {})
    match kind:
        case "string_type":
            number = isinstance(value, int | float)
            return f"must be text, not {describe(value)}" + (f': write "{written(value)}"' if number else "")
        case "int_type" | "int_from_float":
            return f"must be a whole number, not {describe(value)}"
        case "float_type" | "finite_number":
            return f"must be a number, not {describe(value)}"
        case "bool_type":
            return f"must be true or false, not {describe(value)}"
        case "list_type":
            return f"must be a list, not {describe(value)}" + _as_list(value)
        case "dict_type" | "model_type":
            return f"must be a mapping of keys to values, not {describe(value)}"
        case "literal_error":
            return f"must be {context['expected'].replace(chr(39), '')}, not {describe(value)}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}, not {written(value)}"
        case "greater_than":
            return f"must be more than {context['gt']}, not {written(value)}"
        case "less_than_equal":
            return f"must be at most {context['le']}, not {written(value)}"
        case _:
            return str(fault["msg"])


def _as_list(value: object) -> str:
    simple = isinstance(value, str) and len(value) < 40 and re.fullmatch(r"[A-Za-z]\w*(-\w+)*", value)
    return f": write [{value}]" if simple else ""


def _suggestion(model: type[BaseModel], path: Path) -> str:
    """The nearest key that is valid there, or one level down, or all that are."""
    word = str(path[-1])
    here = _form_at(model, path[:-1])
    if here is None:
        return ""
    if near := did_you_mean(word, here.model_fields):
        return near
    below = {
        key: f"{name}.{key}"
        for name, field in here.model_fields.items()
        if (form := _form_in(field.annotation)) is not None and not _is_dict(field.annotation)
        for key in form.model_fields
    }
    if (key := nearest(word, below)) is not None:
        return f" (did you mean {quote(below[key])}?)"
    return "; expected one of " + ", ".join(here.model_fields)


def _form_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    form: type[BaseModel] | None = model
    of_names = False
    for segment in path:
        if isinstance(segment, int):
            continue
        if of_names:
            of_names = False
            continue
        field = form.model_fields.get(str(segment)) if form else None
        if field is None:
            return None
        form, of_names = _form_in(field.annotation), _is_dict(field.annotation)
    return None if of_names else form


def _form_in(annotation: Any) -> type[BaseModel] | None:
    """The model in `X`, `X | None`, `dict[str, X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((form for part in get_args(annotation) if (form := _form_in(part))), None)


def _is_dict(annotation: Any) -> bool:
    return get_origin(annotation) is dict or any(get_origin(part) is dict for part in get_args(annotation))


def _replace(
    model: type[BaseModel], value: Any, path: Path, *, missing: bool, stand_ins: Mapping[str, Any]
) -> None:
    """Put a stand-in where a required key must be; else remove the wrong value.

    A list with something wrong in it goes as a whole: the places of the others would not be right
    any more.
    """
    path = tuple(takewhile(lambda segment: isinstance(segment, str), path))
    form, last = _form_at(model, path[:-1]), path[-1] if path else ""
    for segment in path[:-1]:
        if value.get(segment) is None:
            if not missing:
                return
            value[segment] = {}
        value = value[segment]
    if form is not None and last in form.model_fields and form.model_fields[str(last)].is_required():
        value[last] = stand_ins[str(last)]
    elif form is None and path and _of_forms(model, path) and not missing:
        value[last] = {}
    else:
        value.pop(last, None)


def _of_forms(model: type[BaseModel], path: Path) -> bool:
    """Whether `path` is one of the named forms of a mapping, like a stage."""
    above = _form_at(model, path[:-2]) if len(path) > 1 else None
    field = above.model_fields.get(str(path[-2])) if above else None
    return field is not None and _is_dict(field.annotation) and _form_in(field.annotation) is not None
