"""The referrers API, and the tag that stands in for it where a registry lacks it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from petra.content.descriptor import Descriptor
from petra.content.stream import DOCUMENT_LIMIT
from petra.encoding.json import dump_json, load_json
from petra.errors import FormatError, NotFoundError, TransportError
from petra.oci.media_types import INDEXES, OCI_INDEX

if TYPE_CHECKING:
    from petra.content.digest import Digest
    from petra.oci.answers import Answer
    from petra.oci.endpoint import Endpoint
    from petra.oci.urls import Url

#: Pages of one list, and referrers on them all. Real images have some ten.
PAGE_LIMIT: Final = 64
REFERRER_LIMIT: Final = 4096
_NEXT: Final = re.compile(r'<([^>]*)>\s*;[^,]*?\brel\s*=\s*"?next"?', re.IGNORECASE)
# Registries without the API answer one of these (distribution-spec v1.1, "Listing Referrers", asks
# for 404), or route the path elsewhere and answer something that is no index.
_ABSENT: Final = frozenset({400, 404, 405, 406, 410, 501})


def fallback_tag(subject: Digest) -> str:
    """Return the tag of the index that lists referrers (distribution-spec, "Referrers Tag")."""
    return f"sha256-{subject.hex}"


def list_referrers(endpoint: Endpoint, subject: Digest) -> list[Descriptor]:
    """Return the descriptors of the manifests that refer to `subject`, each once.

    Raises:
        FormatError: the list is no index, or beyond bounds.
        TransportError: its pages lead to another server.
        PetraError: as for ``Transport.send``.
    """
    found = _from_api(endpoint, subject)
    if found is None:
        found = _from_tag(endpoint, subject)
    return list({descriptor.digest: descriptor for descriptor in found}.values())


def add_to_fallback(endpoint: Endpoint, subject: Digest, referrer: Descriptor) -> bytes | None:
    """Return the fallback index with `referrer` in it, None where it is there already.

    Source: distribution-spec v1.1, "Pushing Manifests with Subject": the client's duty where the
    registry does not say ``OCI-Subject``.
    """
    listed = _from_tag(endpoint, subject)
    if any(descriptor.digest == referrer.digest for descriptor in listed):
        return None
    manifests = [descriptor.to_json() for descriptor in (*listed, referrer)]
    return dump_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})


def _from_api(endpoint: Endpoint, subject: Digest) -> list[Descriptor] | None:
    """Return what the API lists, None where the registry has no such API."""
    label = f"the referrers of {endpoint.label}@{subject}"
    ok = frozenset({200, *_ABSENT})
    accept = {"Accept": OCI_INDEX}
    request = endpoint.request("GET", f"referrers/{subject}", label, ok=ok, headers=accept)
    found: list[Descriptor] = []
    for page in range(PAGE_LIMIT):
        answer, body = endpoint.transport.document(request, endpoint.reading, limit=DOCUMENT_LIMIT)
        if answer.status in _ABSENT or answer.media_type != OCI_INDEX:
            if page:
                raise TransportError(
                    f"{label}: a page of the list is missing", where=str(answer.url)
                )
            return None
        found += _read_index(body, where=label)
        following = next_page(endpoint, answer)
        if following is None or len(found) > REFERRER_LIMIT:
            break
        request.url = following
    if following or len(found) > REFERRER_LIMIT:
        raise FormatError(
            "too many referrers",
            where=label,
            expected=f"at most {REFERRER_LIMIT}, on {PAGE_LIMIT} pages",
        )
    return found


def _from_tag(endpoint: Endpoint, subject: Digest) -> list[Descriptor]:
    tag = fallback_tag(subject)
    try:
        document = endpoint.manifest(tag)
    except NotFoundError:
        return []
    return _read_index(document.raw, where=endpoint.subject(tag))


def _read_index(body: bytes, *, where: str) -> list[Descriptor]:
    value: Any = load_json(body, where=where)
    manifests = value.get("manifests") if isinstance(value, dict) else None
    if not isinstance(manifests, list) or value.get("mediaType", OCI_INDEX) not in INDEXES:
        raise FormatError("a list of referrers that is no index", where=where)
    if len(manifests) > REFERRER_LIMIT:
        raise FormatError(
            "too many referrers",
            where=where,
            expected=f"at most {REFERRER_LIMIT}",
            found=len(manifests),
        )
    return [
        Descriptor.from_json(item, where=f"{where}: manifests[{i}]")
        for i, item in enumerate(manifests)
    ]


def next_page(endpoint: Endpoint, answer: Answer, *, what: str = "referrers") -> Url | None:
    """Return where a list goes on; None at its end.

    Raises:
        TransportError: its pages lead to another server.
    """
    match = _NEXT.search(answer.headers.get("Link", "")[:8192])
    if not match:
        return None
    url = endpoint.transport.follow_link(answer.url, match[1])
    if url.origin != endpoint.api.origin:
        raise TransportError(
            f"a list of {what} goes on at another server", where=str(answer.url), found=str(url)
        )
    return url
