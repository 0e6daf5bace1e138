"""Documents into pydantic models, with errors that a person can act on.

Kept apart from the YAML and JSON readers, since pydantic takes a tenth of a second to import.
"""

from __future__ import annotations

import difflib
import re
import typing
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Strict, ValidationError
from pydantic.alias_generators import to_camel

from petra.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

    from petra.encoding.yaml import Document, Path
    from petra.errors import PetraError

_FOUND_LIMIT = 80
_LISTED = 10

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

#: A list in a document, a tuple in the model.
Items = Annotated[tuple[T, ...], Strict(strict=False)]


class Model(BaseModel):
    """Base of every model of a document: closed, frozen, strict, camelCase in the document."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        protected_namespaces=(),
    )


class FieldError(ValueError):
    """What a validator says about a value.

    Args:
        message: what is wrong with it, without the value.
        expected: what should stand there.
        hint: what to do.
        path: where inside the validated value, for one that has parts.
    """

    def __init__(
        self, message: str, *, expected: str | None = None, hint: str | None = None, path: Path = ()
    ) -> None:
        super().__init__(message)
        self.expected = expected
        self.hint = hint
        self.path = path


class _Fault(NamedTuple):
    """One thing wrong, in words."""

    path: Path
    anchor: Path
    message: str
    expected: str | None = None
    found: str | None = None
    hint: str | None = None


def to_value(model: BaseModel) -> Any:
    """Return `model` as dicts, lists and text, names as the document has them, None left out."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def document_schema(model: type[BaseModel], identifier: str, title: str) -> dict[str, Any]:
    """Return the JSON Schema of a document, draft 2020-12.

    Args:
        model: the document's.
        identifier: its ``$id``.
        title: what it is.
    """
    schema = model.model_json_schema()
    _drop_titles(schema)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": identifier,
        "title": title,
    }
    return head | schema


def _drop_titles(schema: Any) -> None:
    """Remove the titles that pydantic derives from field names: they say nothing new."""
    parts: Iterable[Any] = ()
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        parts = schema.values()
    elif isinstance(schema, list):
        parts = schema
    for part in parts:
        _drop_titles(part)


def reading(data: bytes, limit: int, *, where: str, error: type[PetraError]) -> Document:
    """Return the YAML document in `data`, every fault being an `error`.

    Args:
        data: the whole file or member.
        limit: the most bytes that it may have.
        where: its name.
        error: the class to raise: DocumentError for a user's file, FormatError for a member.

    Raises:
        PetraError: `error`.
    """
    from petra.encoding.yaml import load_yaml  # noqa: PLC0415  # JSON's readers need no yaml

    if len(data) > limit:
        raise error("file too large", where=where, expected=f"at most {limit} bytes")
    try:
        return load_yaml(data, where=where)
    except DocumentError as failure:
        raise error(failure.message, where=failure.where, hint=failure.hint) from None


def validate(
    model: type[M],
    value: Any,
    *,
    where: str,
    document: Document | None = None,
    error: type[PetraError] = DocumentError,
) -> M:
    """Return `value` as a `model`, or say everything that is wrong with it at once.

    Args:
        model: the class.
        value: dicts, lists, text …, as a reader gave them.
        where: the file or member, for errors without a line.
        document: where the value came from, for the lines.
        error: the class to raise.

    Raises:
        PetraError: `error`, about the first fault, with line, path, what is valid there, and the
            nearest valid name; its hint lists the other faults.
    """
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as failure:
        faults = _faults(model, failure.errors(include_url=False))
    places = [document.locate(fault.anchor) if document else where for fault in faults]
    if document:
        order = sorted(range(len(faults)), key=lambda n: document.line(faults[n].anchor))
        faults, places = [faults[n] for n in order], [places[n] for n in order]
    first = faults[0]
    others = [
        f"{place} {_sentence(fault)}" for fault, place in zip(faults[1:], places[1:], strict=True)
    ]
    raise error(
        f"{path_text(first.path)}: {first.message}",
        where=places[0],
        expected=first.expected,
        found=first.found,
        hint=_with_others(first.hint, others),
    )


def path_text(path: Sequence[str | int]) -> str:
    """Return `path` as people write it, ``spec.images[2].name``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).lstrip(".") or "the document"


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the one of `valid` that `name` was probably meant to be."""
    by_lower = {option.lower(): option for option in valid}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.55)
    return by_lower[found[0]] if found else None


def _with_others(hint: str | None, others: list[str]) -> str | None:
    if not others:
        return hint
    shown = [*others[:_LISTED]]
    if len(others) > _LISTED:
        shown.append(f"… and {len(others) - _LISTED} more")
    listed = "".join(f"\n    {text}" for text in shown)
    return f"{hint or 'correct it'}; also wrong:{listed}"


def _sentence(fault: _Fault) -> str:
    return f"{path_text(fault.path)}: {fault.message}" + (f" ({fault.hint})" if fault.hint else "")


def _faults(model: type[BaseModel], errors: list[ErrorDetails]) -> list[_Fault]:
    faults = [_fault(model, error) for error in errors]
    # A misspelt needed field is one mistake, not two.
    meant = {
        (*error["loc"][:-1], nearest(str(error["loc"][-1]), _names(model, error["loc"][:-1])))
        for error in errors
        if error["type"] == "extra_forbidden"
    }
    kept = [
        fault
        for fault, error in zip(faults, errors, strict=True)
        if not (error["type"] == "missing" and fault.path in meant)
    ]
    return kept or faults


_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _fault(model: type[BaseModel], error: ErrorDetails) -> _Fault:
    path: Path = error["loc"]
    kind, found = error["type"], error["input"]
    if kind == "extra_forbidden":
        names = _names(model, path[:-1])
        meant = nearest(str(path[-1]), names)
        hint = f"did you mean {meant!r}?" if meant else "remove it"
        return _Fault(path, path, "no such field", f"one of {', '.join(names)}", None, hint)
    if kind == "missing":
        return _Fault(path, path[:-1], "a needed field is missing", hint=f"add {path[-1]!r}")
    if kind == "literal_error":
        return _literal_fault(path, error)
    if kind in _TYPES:
        unquoted = kind == "string_type" and isinstance(found, int | float)
        advice = "put it in quotes, so that it is text" if unquoted else None
        return _Fault(path, path, "wrong type", _TYPES[kind], _shown(found), advice)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        inner = (*path, *cause.path)
        shown = None if cause.path else _shown(found)
        return _Fault(inner, inner, str(cause), cause.expected, shown, cause.hint)
    return _Fault(path, path, error["msg"][:1].lower() + error["msg"][1:], None, _shown(found))


def _literal_fault(path: Path, error: ErrorDetails) -> _Fault:
    expected = str(error["ctx"]["expected"])
    valid = re.findall(r"'([^']*)'", expected)
    meant = nearest(str(error["input"]), valid)
    hint = f"did you mean {meant!r}?" if meant else None
    return _Fault(path, path, "not a value of this field", expected, _shown(error["input"]), hint)


def _shown(value: Any) -> str | None:
    """Return `value` for an error: short, and without what may be a password in a URL."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)[:_FOUND_LIMIT]
    text = re.sub(r"//[^/@\s]*@", "//…@", value)
    if "://" in text:
        text = text.partition("?")[0]
    return repr(text if len(text) <= _FOUND_LIMIT else text[:_FOUND_LIMIT] + "…")


def _names(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Return the document's names of the fields that are valid at `path`."""
    current: Any = model
    for part in path:
        if isinstance(part, str) and isinstance(current, type) and issubclass(current, BaseModel):
            field = next(field for field in current.model_fields.values() if field.alias == part)
            current = _model_in(field.annotation)
    return [field.alias or name for name, field in current.model_fields.items()]


def _model_in(annotation: Any) -> Any:
    """Return the model that `annotation` holds, as itself, in a list or as an option."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)
