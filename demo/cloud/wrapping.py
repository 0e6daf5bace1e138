"""How MiniStack's functions are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class FidelityError(RuntimeError):
    """MiniStack is not as this module knows it."""


def wrap(module: Any, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put a function in the place of `module`'s function `name`, which becomes its first argument.

    The module's own tables of functions take it too.

    Raises:
        FidelityError: there is no such function.
    """
    original = getattr(module, name, None)
    if original is None:
        raise FidelityError(f"{module.__name__} has no {name}")

    def install(repair: Callable[..., Any]) -> Callable[..., Any]:
        def replaced(*arguments: Any, **named: Any) -> Any:
            return repair(original, *arguments, **named)

        setattr(module, name, replaced)
        for table in [value for value in vars(module).values() if isinstance(value, dict)]:
            table.update({key: replaced for key, value in table.items() if value is original})
        return repair

    return install
