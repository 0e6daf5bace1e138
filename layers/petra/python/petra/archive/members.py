"""What may stand in a bundle, by name. Bundle format, section 2."""

from __future__ import annotations

import re

from petra.errors import FormatError

NAME_LIMIT = 100
DEPTH_LIMIT = 8

OCI_LAYOUT = "oci-layout"
INDEX = "index.json"
METADATA = "metadata.json"
SPEC = "bundle.yaml"
LOCK = "bundle.lock.yaml"
SUMS = "SHA256SUMS"

#: The members that open every bundle, in this order.
HEAD = (OCI_LAYOUT, INDEX, METADATA, SPEC, LOCK, SUMS)

#: The folders that follow, in this order; blobs are last.
FOLDERS = ("charts/", "platform/", "sbom/", "scan/", "attestations/", "blobs/sha256/")

_NAME = re.compile(r"[A-Za-z0-9._/+-]+")
_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}")


def check_name(name: str) -> None:
    """Refuse a member name that the format does not allow.

    Args:
        name: the path as the tar header has it.

    Raises:
        FormatError: it names the member and the broken rule.
    """
    parts = name.split("/")
    if not _NAME.fullmatch(name) or len(name) > NAME_LIMIT:
        raise _refused(name, "1 to 100 characters of A-Z a-z 0-9 . _ / + -")
    if "" in parts or "." in parts or ".." in parts:
        raise _refused(name, "a relative path with no empty part, '.' or '..'")
    if len(parts) > DEPTH_LIMIT:
        raise _refused(name, f"at most {DEPTH_LIMIT} levels")
    if name not in HEAD and not name.startswith(FOLDERS):
        raise _refused(name, f"one of {', '.join(HEAD)} or a file under {' '.join(FOLDERS)}")
    if name.startswith("blobs/") and not _BLOB.fullmatch(name):
        raise _refused(name, "blobs/sha256/ and 64 lower-case hex digits")


def _refused(name: str, rule: str) -> FormatError:
    return FormatError(
        "member name breaks the bundle format",
        where=repr(name[:200]),
        expected=rule,
        hint="do not use this file; ask the sender for a bundle made by petra",
    )


def rank(name: str) -> tuple[int, str]:
    """Return the sort key that puts members in the format's order, blobs excepted.

    Blobs keep the order of the plan (first use), so all of them rank alike.
    """
    if name in HEAD:
        return HEAD.index(name), ""
    for place, folder in enumerate(FOLDERS, start=len(HEAD)):
        if name.startswith(folder):
            return place, "" if folder == FOLDERS[-1] else name
    raise _refused(name, "a name of the format")


def is_blob(name: str) -> bool:
    """Say whether `name` is a content-addressed blob, whose own name is its digest."""
    return name.startswith("blobs/")


def is_stored(name: str) -> bool:
    """Say whether `name` is stored as it is; all else is compressed text. Format, section 3."""
    return is_blob(name) or (name.startswith("charts/") and name.endswith(".tgz"))
