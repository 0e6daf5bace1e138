"""What a registry holds by name, and taking manifests from it.

Source: distribution-spec v1.1, "Content Management" and "Listing Tags".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from petra.content.stream import DOCUMENT_LIMIT
from petra.encoding.json import load_json
from petra.errors import FormatError, UnsupportedError
from petra.oci.referrers_api import PAGE_LIMIT, next_page

if TYPE_CHECKING:
    from petra.content.digest import Digest
    from petra.oci.endpoint import Endpoint

_GONE: Final = frozenset({404})
_DONE: Final = frozenset({200, 202, 204})
# The distribution-spec has 400 and 405 for a registry that does not delete.
_REFUSED: Final = frozenset({400, 405, 501})


def list_tags(endpoint: Endpoint) -> list[str]:
    """Return the tags of a repository; none where there is no such repository.

    Raises:
        FormatError: the list is malformed, or beyond bounds.
        PetraError: as for ``Transport.send``.
    """
    label = f"the tags of {endpoint.label}"
    request = endpoint.request("GET", "tags/list", label, ok=frozenset({200, 404}))
    found: list[str] = []
    for _ in range(PAGE_LIMIT):
        answer, body = endpoint.transport.document(request, endpoint.reading, limit=DOCUMENT_LIMIT)
        if answer.status in _GONE:
            return found
        value: Any = load_json(body, where=label)
        tags = value.get("tags") if isinstance(value, dict) else None
        if not isinstance(tags, list | None) or not all(isinstance(tag, str) for tag in tags or ()):
            raise FormatError("a list of tags that is none", where=label)
        found += tags or ()
        following = next_page(endpoint, answer, what="tags")
        if following is None:
            return found
        request.url = following
    raise FormatError("too many tags", where=label, expected=f"at most {PAGE_LIMIT} pages")


def delete_manifest(endpoint: Endpoint, digest: Digest) -> bool:
    """Delete a manifest, with the tags that stand for it.

    Returns:
        Whether it was there.

    Raises:
        UnsupportedError: the registry does not delete.
        PetraError: as for ``Transport.send``.
    """
    request = endpoint.request(
        "DELETE",
        f"manifests/{digest}",
        endpoint.subject(digest),
        ok=_GONE | _DONE | _REFUSED,
    )
    answer = endpoint.transport.send(request, endpoint.deleting())
    answer.discard()
    if answer.status in _REFUSED:
        raise UnsupportedError(
            "the registry does not delete manifests",
            where=endpoint.label,
            found=f"HTTP status {answer.status}",
        )
    return answer.status in _DONE
