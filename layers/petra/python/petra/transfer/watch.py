"""Watches a landing folder: takes in each bundle as soon as it can be, and says what is missing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from petra.errors import NoSpaceError, NotFoundError, PetraError
from petra.transfer.landing import not_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from petra.content.digest import Digest
    from petra.transfer.crossing import Clock
    from petra.transfer.landing import Incoming, Landing, Stamp

#: The longest time between two looks, in seconds, and the parts of the settling time between them.
_POLL_SECONDS = 1.0
_LOOKS = 4


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait.

    Attributes:
        settle: seconds without a change after which what is there is taken for all for now.
        give_up: seconds without a change after which what is not whole is given up; None for never.
        once: whether to end when all that has begun to come is taken in.
    """

    settle: float = 2.0
    give_up: float | None = None
    once: bool = False

    @property
    def poll(self) -> float:
        """Seconds between two looks."""
        return min(self.settle / _LOOKS, _POLL_SECONDS)


class Listener(Protocol):
    """Is told what becomes of each bundle."""

    def on_waiting(self, one: Incoming, /) -> None:
        """A bundle is not whole, and nothing more comes for now."""
        ...

    def on_refused(self, one: Incoming, error: PetraError, /) -> None:
        """A bundle came, and is not what it should be."""
        ...


@dataclass(slots=True)
class _State:
    """What is known of one bundle.

    Attributes:
        seen: what had come of it at the last look.
        since: since when it is just that.
        done: the identity under which it was taken in.
        told: what was last told as missing.
        refusal: why what had come was refused.
    """

    seen: Mapping[str, Stamp] = field(default_factory=dict)
    since: float = 0.0
    done: Digest | None = None
    told: object = None
    refusal: PetraError | None = None


class Watch:
    """One watch over a folder.

    Args:
        folder: what is watched, for errors.
        landing: looks through it.
        take: takes in a bundle; raises what is wrong with it.
        listener: is told the rest.
        patience: how long to wait.
        check: is called before each look; raises what makes waiting pointless.
        clock: the system's where None.
    """

    def __init__(
        self,
        folder: Path,
        landing: Landing,
        take: Callable[[Incoming], None],
        listener: Listener,
        patience: Patience,
        check: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._landing = landing
        self._take = take
        self._listener = listener
        self._patience = patience
        self._check = check
        self._clock = clock or time
        self._states: dict[Path, _State] = {}
        self._changed = self._clock.monotonic()

    def run(self) -> None:
        """Watch until there is nothing more to wait for, by the patience; else for ever.

        Raises:
            ChunksError: something did not come; names all files.
            PetraError: why what came was refused, where nothing else is waited for.
            NotFoundError: nothing came at all, and only what comes once was waited for.
            StorageError: the folder cannot be read, or the inbox is full.
        """
        while True:
            self._check()
            found = self._landing.look()
            for one in found:
                self._consider(one)
            if self._ended([one for one in found if not self._is_done(one)], any_came=bool(found)):
                return
            self._clock.sleep(self._patience.poll)

    def _is_done(self, one: Incoming) -> bool:
        done = self._states[one.path].done
        return done is not None and one.identity in (done, None)

    def _consider(self, one: Incoming) -> None:
        now = self._clock.monotonic()
        state = self._states.setdefault(one.path, _State())
        if state.seen != one.seen:
            state.seen, state.since, state.refusal = one.seen, now, None
            self._changed = now
        if self._is_done(one) or state.refusal:
            return
        if one.error:
            self._refuse(one, one.error)
        elif one.arrival:
            self._take_in(one, state)
        elif now - state.since >= self._patience.settle and state.told != one.seen:
            state.told = one.seen
            self._listener.on_waiting(one)

    def _take_in(self, one: Incoming, state: _State) -> None:
        try:
            self._take(one)
        except NoSpaceError:
            raise  # of the inbox: the next bundle would not fit either
        except PetraError as error:
            self._refuse(one, error)
        else:
            state.done = one.identity
        self._changed = self._clock.monotonic()

    def _refuse(self, one: Incoming, error: PetraError) -> None:
        self._states[one.path].refusal = error
        self._listener.on_refused(one, error)

    def _ended(self, waiting: Sequence[Incoming], *, any_came: bool) -> bool:
        refusals = [self._states[one.path].refusal for one in waiting]
        if self._patience.once and any_came and all(refusals):
            if refusals and refusals[0]:
                raise refusals[0]
            return True
        patience = self._patience.give_up
        if patience is None or self._clock.monotonic() - self._changed < patience:
            return False
        lacking = [one for one, why in zip(waiting, refusals, strict=True) if not why]
        if lacking:
            raise not_whole(self._folder, lacking)
        if refusals and refusals[0]:
            raise refusals[0]
        if self._patience.once:
            raise NotFoundError(
                "nothing has arrived",
                where=str(self._folder),
                hint="check that the diode's software writes to this folder",
            )
        return False
