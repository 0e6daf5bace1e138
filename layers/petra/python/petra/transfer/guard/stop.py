"""How a guard's walk ends early: as one filter's finding."""

from __future__ import annotations


class StopError(Exception):
    """The walk can go no further.

    Args:
        filter_name: the filter whose finding this is.
        message: what is wrong.
        where: the member, or None for the file.
        expected: what should have been there.
        found: what was there.
    """

    def __init__(
        self,
        filter_name: str,
        message: str,
        *,
        where: str | None = None,
        expected: object = None,
        found: object = None,
    ) -> None:
        super().__init__(message)
        self.filter_name = filter_name
        self.message = message
        self.where = where
        self.expected = expected
        self.found = found
