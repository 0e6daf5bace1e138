"""The policy that a call is under, with what it names: keys, and the trusted root."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from petra.cli.files import read_file
from petra.content.digest import Digest
from petra.content.stream import DOCUMENT_LIMIT
from petra.errors import SettingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from petra.bundle.image_rules import Trust
    from petra.bundle.policy import Policy
    from petra.bundle.receive import Receiver
    from petra.cli.settings import Settings
    from petra.trust.keys import PublicKey
    from petra.trust.root import TrustedRoot

#: The most bytes of a file that a policy names: an OpenVEX document, a report, a trusted root.
FILE_LIMIT = 64 * 1024 * 1024

#: The settings of every command that goes by a policy.
POLICY_SETTINGS = ("policy", "trusted_root")
#: … and of those that take a bundle.
RECEIVER_SETTINGS = (*POLICY_SETTINGS, "allow_skipped")


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy on disk.

    Attributes:
        path: the file. The files that it names lie beside it.
        digest: of its bytes; metadata name it by this.
        policy: what it says.
    """

    path: Path
    digest: Digest
    policy: Policy

    def read(self, name: str) -> bytes:
        """Return a file that the policy names.

        Raises:
            PetraError: it cannot be read.
        """
        return read_file(self.path.parent / name, limit=FILE_LIMIT)


def read_policy(settings: Settings) -> PolicyFile | None:
    """Return the policy of a call; None where none is given.

    Raises:
        NotFoundError: it is not there.
        DocumentError: it is wrong; names file, line and field.
    """
    if settings.policy is None:
        return None
    from petra.bundle.policy import load_policy  # noqa: PLC0415  # pydantic takes its time

    data = read_file(settings.policy, limit=DOCUMENT_LIMIT)
    policy = load_policy(data, where=settings.policy)
    return PolicyFile(Path(settings.policy), Digest.of(data), policy)


def trust_beside(document: Path, root: Callable[[], TrustedRoot]) -> Trust:
    """Return where the keys are found that a document names: a path starts in its folder."""
    from petra.bundle.image_rules import Trust  # noqa: PLC0415  # start-up time
    from petra.cli.keys import public_keys  # noqa: PLC0415  # as above

    @cache
    def keys(name: str) -> tuple[PublicKey, ...]:
        return tuple(public_keys(name if "://" in name else str(document.parent / name)))

    return Trust(keys, root, datetime.now(UTC))


def trusted_root(settings: Settings, file: PolicyFile | None) -> Callable[[], TrustedRoot]:
    """Return what gives the trusted root of keyless signatures, read once, when first needed.

    It is the policy's, or else the setting's, or else the one that ships with Petra. What the
    function raises: SettingError, if the file is none, or if policy and setting name two.
    """

    @cache
    def root() -> TrustedRoot:
        from petra.trust.root import TrustedRoot  # noqa: PLC0415  # start-up time

        named = file.policy.spec.trusted_root if file else None
        of_policy = _root(file.path.parent / named) if file and named else None
        given = _root(Path(settings.trusted_root)) if settings.trusted_root else None
        if of_policy and given and of_policy.digest != given.digest:
            raise SettingError(
                "two trusted roots",
                where=f"--trusted-root {settings.trusted_root}",
                expected=f"{of_policy.digest}, as policy {file and file.policy.name} says",
                found=str(given.digest),
                hint="leave --trusted-root out, or take trustedRoot out of the policy",
            )
        return of_policy or given or TrustedRoot.pinned()

    return root


def receiver_of(settings: Settings) -> Receiver | None:
    """Return what a receiver asks of a bundle; None where the settings say nothing about that.

    Args:
        settings: they may name a policy, and steps that may have been skipped.

    Raises:
        UsageError: there is no such step.
        PetraError: the policy is wrong, or a key that it names cannot be read.
    """
    file = read_policy(settings)
    if file is None and not settings.allow_skipped:
        return None
    from petra.bundle.image_rules import PolicyRules  # noqa: PLC0415  # start-up time
    from petra.bundle.receive import Receiver  # noqa: PLC0415  # as above

    steps = _steps(settings.allow_skipped)
    if file is None:
        return Receiver(allow_skipped=steps)
    trust = trust_beside(file.path, trusted_root(settings, file))
    signers = (key for name in file.policy.spec.bundle.signers for key in trust.keys(name))
    return Receiver(PolicyRules(file.policy, trust), file.read, tuple(signers), steps)


def _steps(named: Sequence[str]) -> frozenset[str]:
    from petra.bundle.metadata import STEPS  # noqa: PLC0415  # start-up time
    from petra.encoding.models import nearest  # noqa: PLC0415  # as above

    steps = [part.strip() for text in named for part in text.split(",") if part.strip()]
    for step in steps:
        if step not in STEPS:
            meant = nearest(step, STEPS)
            raise UsageError(
                "no such step",
                where="--allow-skipped",
                expected=", ".join(STEPS),
                found=step[:40],
                hint=f"did you mean {meant!r}?" if meant else None,
            )
    return frozenset(steps)


def _root(path: Path) -> TrustedRoot:
    from petra.trust.root import ROOT_LIMIT, TrustedRoot  # noqa: PLC0415  # start-up time

    return TrustedRoot.parse(read_file(path, limit=ROOT_LIMIT), where=str(path))
