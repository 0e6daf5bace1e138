"""Whether a bundle may be loaded here: asked once its signature is good, before any member."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.errors import PolicyError
from petra.load.ledger import Stamp

if TYPE_CHECKING:
    from collections.abc import Collection

    from petra.bundle.metadata import Metadata
    from petra.bundle.verify import Signed
    from petra.load.ledger import History


def admit(
    signed: Signed,
    history: History,
    *,
    allowed_skips: Collection[str] = (),
    allow_rollback: bool = False,
) -> None:
    """Refuse a bundle that must not be loaded here.

    Args:
        signed: the bundle, its signature verified.
        history: what was loaded here before.
        allowed_skips: steps that its sender may have skipped.
        allow_rollback: let one pass that is older than what was loaded.

    Raises:
        PolicyError: it is a replay, or its sender skipped a step that is not allowed.
    """
    metadata = signed.metadata
    check_skipped(metadata, allowed_skips)
    stamp = Stamp(
        name=metadata.name,
        version=metadata.version,
        serial=metadata.serial,
        signer=signed.key.fingerprint,
        digest=signed.digest,
    )
    history.admit(stamp, allow_rollback=allow_rollback)


def check_skipped(metadata: Metadata, allowed: Collection[str]) -> None:
    """Refuse a bundle whose sender skipped a step that is not `allowed`.

    Raises:
        PolicyError: it did; names each step and the reason that the sender gave.
    """
    skipped = {step: why for step, why in metadata.skipped().items() if step not in allowed}
    if skipped:
        names = ",".join(skipped)
        reasons = (f"{step} ({'; '.join(why)})" for step, why in skipped.items())
        raise PolicyError(
            "the sender skipped a check that is wanted here",
            where=f"{metadata.name} {metadata.version}",
            expected="every check done",
            found=f"skipped: {', '.join(reasons)}",
            hint=f"ask the sender for a bundle with it, or give --allow-skipped {names}",
        )
