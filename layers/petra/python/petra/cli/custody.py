"""How commands keep the custody log, where one is set."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from petra.errors import PetraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from petra.cli.command import Call
    from petra.content.digest import Digest
    from petra.transfer.custody import CustodyLog
    from petra.trust.signer import Signer

#: What a command that keeps a log takes among its settings.
CUSTODY_SETTINGS = ("custody", "custody_key", "custody_from")


class Kept(dict[str, "Digest"]):
    """The digests that a command acted on, by name.

    Attributes:
        failed: why it did not end, where that is told in another way than by raising.
    """

    failed: PetraError | None = None


@contextmanager
def custody(
    call: Call, stage: str, action: str, signer: Callable[[], Signer] | None = None
) -> Iterator[Kept]:
    """Write what the block does to the custody log, if there is one, and seal the stage.

    Args:
        call: its settings name the log, and the key that seals it.
        stage: where on the way this is.
        action: what is done.
        signer: gives who seals, where the settings name no key for it.

    Yields:
        Where the block puts the digests that it acted on, by name.

    Raises:
        PetraError: what the block raises, written down as refused; or the log cannot be kept.
    """
    digests = Kept()
    path = call.settings.custody
    if path is None:
        yield digests
        return
    from petra.cli.keys import signer_from  # noqa: PLC0415  # start-up time
    from petra.transfer.custody import CustodyLog  # noqa: PLC0415  # as above

    named = call.settings.custody_key
    sealer = (lambda: signer_from(named)) if named else signer
    continues = call.settings.custody_from
    log = CustodyLog(Path(path), continues=Path(continues) if continues else None)
    try:
        yield digests
    except PetraError as error:
        _refused(log, stage, action, digests, error)
        with suppress(PetraError):  # the key may be what is wrong
            _seal(call, log, stage, sealer)
        raise
    if digests.failed:
        _refused(log, stage, action, digests, digests.failed)
    else:
        log.append(stage, action, digests)
    _seal(call, log, stage, sealer)


def _refused(log: CustodyLog, stage: str, action: str, digests: Kept, error: PetraError) -> None:
    log.append(stage, action, digests, "refused", reason=error.message)


def local_signer(call: Call) -> Callable[[], Signer] | None:
    """Return who seals on the receiver's side where the settings name no key for it."""
    from petra.cli.keys import signer_from  # noqa: PLC0415  # start-up time

    named = call.settings.sign_key
    return (lambda: signer_from(named)) if named else None


def _seal(call: Call, log: CustodyLog, stage: str, signer: Callable[[], Signer] | None) -> None:
    if signer:
        log.seal(stage, signer())
    else:
        call.console.warn(
            "the custody log is not sealed: give --custody-key, or its end proves nothing"
        )
