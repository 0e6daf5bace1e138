"""Several images that are refused at once: one error, with each image's own verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.errors import PolicyError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.errors import VerificationError

#: Images that an error describes; its `causes` have all.
_LISTED: Final = 50


def refuse(failures: Mapping[str, VerificationError], total: int) -> None:
    """Raise one error for all images that are refused; return if there are none.

    Args:
        failures: why each is refused, by the image as people know it, ``NAME (REFERENCE)``.
        total: how many images there are.

    Raises:
        VerificationError: the failure itself where it is one; else a PolicyError where policy
            refuses all of them, and a SignatureError otherwise, with the failures as `causes`.
    """
    errors = list(failures.values())
    if not errors:
        return
    if len(errors) == 1:
        raise errors[0]
    kind = PolicyError if all(isinstance(one, PolicyError) for one in errors) else SignatureError
    lines = [_line(image, error) for image, error in failures.items()]
    more = [f"… and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    hints = [*dict.fromkeys(error.hint or error.usual_hint or "" for error in errors)]
    raise kind(
        f"{len(errors)} of {total} images are refused",
        where=", ".join(image.partition(" ")[0] for image in failures),
        found="".join(f"\n    {line}" for line in [*lines[:_LISTED], *more]),
        hint=hints[0] if len(hints) == 1 else "".join(f"\n    {hint}" for hint in hints),
        causes=errors,
    )


def _line(image: str, error: VerificationError) -> str:
    where = error.where or image
    head = where if where.startswith(image) else f"{image}, {where}"
    parts = [
        f"{name}: {text}" for name in ("expected", "found") if (text := getattr(error, name, None))
    ]
    return f"{head}: {error.message}" + "".join(f"\n      {part}" for part in parts)
