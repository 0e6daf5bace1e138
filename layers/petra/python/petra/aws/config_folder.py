"""The stack's own configuration: its policy, and the files that the policy names.

It is deployed with the functions, as a folder on the path of modules, and nobody who may upload
can change it.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from petra.content.digest import Digest
from petra.content.stream import DOCUMENT_LIMIT
from petra.errors import NotFoundError, PolicyError, SettingError, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from petra.bundle.image_rules import PolicyRules, Trust
    from petra.bundle.policy import Policy
    from petra.bundle.receive import Receiver
    from petra.trust.keys import PublicKey
    from petra.trust.root import TrustedRoot

MODULE: Final = "petra_config"
#: Names another folder, where none is on the path.
VARIABLE: Final = "PETRA_CONFIG"
POLICY: Final = "policy.yaml"
#: The most bytes of a file: an OpenVEX document, a report, a trusted root.
FILE_LIMIT: Final = 64 * 1024 * 1024


def find_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the configuration.

    Raises:
        SettingError: there is none.
    """
    named = (os.environ if environ is None else environ).get(VARIABLE)
    if named:
        return Path(named)
    found = importlib.util.find_spec(MODULE)
    places = found.submodule_search_locations if found else None
    if not places:
        raise SettingError(
            "the stack's configuration is not deployed with this function",
            where=MODULE,
            expected=f"a folder {MODULE} with {POLICY}",
            hint="deploy the stack again",
        )
    return Path(next(iter(places)))


@dataclass(frozen=True)
class ConfigFolder:
    """The configuration.

    Attributes:
        path: its folder.
    """

    path: Path

    def read(self, name: str, *, limit: int = FILE_LIMIT) -> bytes:
        """Return a file of the configuration, by its name or its path in it.

        Raises:
            PolicyError: `name` leads out of it.
            NotFoundError: there is none of this name.
            StorageError: it is too large, or cannot be read.
        """
        home, path = self.path.resolve(), (self.path / name).resolve()
        if not path.is_relative_to(home) or "\0" in name or "://" in name:
            raise PolicyError(
                "only files of the stack's own configuration may be named",
                found=name[:200],
                expected="a file's name",
                hint="leave it out: the stack's policy has the keys that count",
            )
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFoundError(
                "no such file in the stack's configuration",
                where=name[:200],
                hint="files beside a spec do not travel with it: leave it out, or have it deployed",
            ) from None
        if len(data) > limit:
            raise StorageError("file too large", where=name, expected=f"at most {limit} bytes")
        return data

    @cached_property
    def policy(self) -> Policy:
        """The policy.

        Raises:
            NotFoundError: there is none.
            DocumentError: it is wrong.
        """
        from petra.bundle.policy import load_policy  # noqa: PLC0415  # start-up time

        return load_policy(self.read(POLICY, limit=DOCUMENT_LIMIT), where=POLICY)

    @cached_property
    def policy_digest(self) -> Digest:
        """The digest of its file: metadata name it by this."""
        return Digest.of(self.read(POLICY, limit=DOCUMENT_LIMIT))

    def keys(self, name: str) -> Sequence[PublicKey]:
        """Return the public keys in a file of the configuration."""
        from petra.trust.keys import load_public_keys  # noqa: PLC0415  # start-up time

        return load_public_keys(self.read(name, limit=DOCUMENT_LIMIT), where=name)

    @cached_property
    def root(self) -> TrustedRoot:
        """The trusted root of keyless signatures: the policy's, or the one that Petra brings."""
        from petra.trust.root import ROOT_LIMIT, TrustedRoot  # noqa: PLC0415  # start-up time

        named = self.policy.spec.trusted_root
        if named is None:
            return TrustedRoot.pinned()
        return TrustedRoot.parse(self.read(named, limit=ROOT_LIMIT), where=named)

    def trust(self, now: datetime) -> Trust:
        """Return where the keys and the root are found that a document names."""
        from petra.bundle.image_rules import Trust  # noqa: PLC0415  # start-up time

        return Trust(self.keys, lambda: self.root, now)

    def rules(self, now: datetime) -> PolicyRules:
        """Return the policy's rules for images."""
        from petra.bundle.image_rules import PolicyRules  # noqa: PLC0415  # start-up time

        return PolicyRules(self.policy, self.trust(now))

    def receiver(self, now: datetime) -> Receiver:
        """Return what is asked of a bundle that comes in.

        Raises:
            SettingError: the policy names nobody who may send.
        """
        signers = self._signers()
        if not signers:
            raise SettingError(
                "the policy names nobody who may send bundles",
                where=f"{POLICY}: spec.bundle.signers",
                hint="put the sender's public key beside the policy, and its file name there",
            )
        return self._receiver(now, signers)

    def sender(self, now: datetime, key: PublicKey) -> Receiver:
        """Return what is asked of a finished bundle that is to be sent.

        Args:
            now: the time.
            key: this side's own, which may have signed it beside those that the policy names.
        """
        return self._receiver(now, (key, *self._signers()))

    def _signers(self) -> tuple[PublicKey, ...]:
        names = self.policy.spec.bundle.signers
        return tuple(key for name in names for key in self.keys(name))

    def _receiver(self, now: datetime, signers: tuple[PublicKey, ...]) -> Receiver:
        from petra.bundle.receive import Receiver  # noqa: PLC0415  # start-up time

        return Receiver(self.rules(now), self.read, signers)
