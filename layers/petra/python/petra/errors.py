"""Every error that Petra raises on purpose, in one tree.

::

    PetraError
    ├── UsageError                 exit 2: the call, a setting or a file of the user's is wrong
    │   ├── SettingError           a setting is missing or unusable (names flag, variable and file)
    │   └── DocumentError          a YAML or JSON document breaks its schema (file and line)
    ├── VerificationError          exit 3: something is not what it claims to be
    │   ├── DigestMismatchError    bytes have another digest
    │   ├── SizeMismatchError      fewer or more bytes than announced
    │   ├── SignatureError         a signature is missing, or does not verify
    │   ├── FormatError            an archive or document breaks the bundle format
    │   ├── ContentRefusedError    content that a bundle must not carry (an executable in a chart …)
    │   ├── ChunksError            chunks of a bundle are missing or damaged (names each)
    │   ├── DriftError             the lock and what it was made from differ
    │   └── PolicyError            all is genuine, yet policy does not let it pass
    ├── NotFoundError              exit 1: a tag, digest, chart or file is not there
    ├── AccessError                exit 1: credentials are missing or refused
    ├── TransportError             exit 1: the network or the other side failed; a retry can help
    │   └── RateLimitedError       429; carries the seconds to wait
    ├── StorageError               exit 1: the disk refused
    │   └── NoSpaceError           … because it is full
    ├── UnsupportedError           exit 1: the other side does not do what was asked of it
    ├── BusyError                  exit 1: another process of petra is at work there
    ├── IncompleteError            exit 1: the spec lacks something that its content needs
    ├── ReconcileError             exit 1: the cluster did not become what the bundle says
    └── ToolError                  exit 1: a program that Petra calls failed

Each class has a stable ``code`` (the runbook has one entry for each), an ``exit_status`` for the
command line and ``retryable``, which says whether the same call can succeed later by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class PetraError(Exception):
    """Base of the tree: what went wrong, where, what was expected and found, and what to do next.

    Args:
        message: one sentence that says what went wrong. Never holds a secret.
        where: the file and line, URL, member or reference concerned.
        expected: what should have been there.
        found: what was there instead.
        hint: what the reader can do next; the class's `usual_hint` where None.
        causes: the errors that this one sums up, where it does.

    Attributes:
        status: the HTTP status that the other side answered, where it is that.
    """

    code: ClassVar[str] = "PETRA_ERROR"
    exit_status: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    usual_hint: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        expected: object | None = None,
        found: object | None = None,
        hint: str | None = None,
        causes: Sequence[PetraError] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.expected = None if expected is None else str(expected)
        self.found = None if found is None else str(found)
        self.hint = hint
        self.causes = tuple(causes)
        self.status: int | None = None

    def name(self, subject: str) -> None:
        """Name `subject` too, what the user calls it, unless the error does already.

        Args:
            subject: such as ``image cgr.dev/chainguard/nginx:1.27``.
        """
        if subject.rpartition(" ")[2] not in f"{self.message} {self.where}":
            self.where = f"{self.where} of {subject}" if self.where else subject

    def details(self) -> dict[str, str]:
        """Return the parts that are set, in reading order, without the message."""
        parts = {
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "next": self.hint or self.usual_hint,
        }
        return {name: text for name, text in parts.items() if text}

    def to_json(self) -> dict[str, object]:
        """Return the error as the object that ``--output json`` prints."""
        value: dict[str, object] = {"code": self.code, "message": self.message, **self.details()}
        if self.causes:
            value["causes"] = [cause.to_json() for cause in self.causes]
        return value

    def __str__(self) -> str:
        lines = [self.message, *(f"  {name}: {text}" for name, text in self.details().items())]
        return "\n".join(lines)


class UsageError(PetraError):
    """The call, a setting or a file of the user's is wrong."""

    code = "USAGE"
    exit_status = 2
    usual_hint = "correct the call; --help says what it takes"


class SettingError(UsageError):
    """A setting is missing or unusable; the text names the flag, the variable and the file key."""

    code = "SETTING"
    usual_hint = "correct the setting, or the file that it names"


class DocumentError(UsageError):
    """A YAML or JSON document that a user wrote breaks its schema; ``where`` is ``FILE:LINE``."""

    code = "DOCUMENT"
    usual_hint = "correct the document there"


class VerificationError(PetraError):
    """Something is not what it claims to be."""

    code = "VERIFICATION"
    exit_status = 3
    usual_hint = "do not use it; get it anew, from a good source"


class DigestMismatchError(VerificationError):
    """The bytes have another digest than the one they were asked for by."""

    code = "DIGEST_MISMATCH"


class SizeMismatchError(VerificationError):
    """Fewer or more bytes came than the descriptor announced."""

    code = "SIZE_MISMATCH"


class SignatureError(VerificationError):
    """A signature is missing, or does not verify."""

    code = "SIGNATURE"
    usual_hint = "do not use it; ask its publisher for one with a good signature"


class FormatError(VerificationError):
    """An archive or a document in it breaks the bundle format."""

    code = "FORMAT"


class ContentRefusedError(VerificationError):
    """Content that a bundle must not carry."""

    code = "CONTENT_REFUSED"
    usual_hint = "do not use it; ask its publisher for one without that"


class ChunksError(VerificationError):
    """Chunks of a bundle are missing or damaged, more than can be rebuilt here.

    Args:
        message: as for :class:`PetraError`.
        missing: file names of those that are not there.
        damaged: file names of those that have another size or digest.
        where: the chunk folder.
        hint: what the reader can do next.
    """

    code = "CHUNKS"
    usual_hint = "bring the named files again; the others are good and can stay"

    def __init__(
        self,
        message: str,
        *,
        missing: Sequence[str] = (),
        damaged: Sequence[str] = (),
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.missing = tuple(missing)
        self.damaged = tuple(damaged)
        lists = {"missing": self.missing, "damaged": self.damaged}
        found = "; ".join(f"{what} {', '.join(names)}" for what, names in lists.items() if names)
        super().__init__(message, where=where, found=found or None, hint=hint)

    def to_json(self) -> dict[str, object]:
        """Return the error with its two lists."""
        return super().to_json() | {"missing": [*self.missing], "damaged": [*self.damaged]}


class DriftError(VerificationError):
    """The lock and what it was made from differ."""

    code = "DRIFT"


class PolicyError(VerificationError):
    """All is genuine, yet policy does not let it pass."""

    code = "POLICY"


class NotFoundError(PetraError):
    """A tag, digest, chart or file is not there."""

    code = "NOT_FOUND"
    usual_hint = "check the name, and that it is there"


class AccessError(PetraError):
    """Credentials are missing or were refused."""

    code = "ACCESS"
    usual_hint = "check the credentials, and what they allow"


class TransportError(PetraError):
    """The network or the other side failed; a retry can help."""

    code = "TRANSPORT"
    retryable = True
    usual_hint = "check the network and the other side, then try again"


class RateLimitedError(TransportError):
    """The other side asks us to slow down.

    Args:
        message: as for :class:`PetraError`.
        retry_after: seconds to wait, where the other side said so.
        where: the URL, redacted.
        hint: what the reader can do next.
    """

    code = "RATE_LIMITED"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.retry_after = retry_after


class StorageError(PetraError):
    """The disk refused."""

    code = "STORAGE"
    usual_hint = "check the disk, the folder and its permissions"


class NoSpaceError(StorageError):
    """The disk is full."""

    code = "NO_SPACE"


class UnsupportedError(PetraError):
    """The other side does not do what was asked of it."""

    code = "UNSUPPORTED"
    usual_hint = "turn it on there, if it can be, or do without"


class BusyError(PetraError):
    """Another process of petra is at work there."""

    code = "BUSY"
    retryable = True
    usual_hint = "wait until it has ended, then try again"


class IncompleteError(PetraError):
    """The spec lacks something that its content needs."""

    code = "INCOMPLETE"
    usual_hint = "add what is missing to the spec"


class ReconcileError(PetraError):
    """The cluster did not become what the bundle says, or not in time."""

    code = "RECONCILE"
    usual_hint = "read what the releases say; when it is mended, `petra bundle load --again`"


class ToolError(PetraError):
    """A program that Petra calls failed."""

    code = "TOOL"
    usual_hint = "check that the program runs by itself, and its version"
