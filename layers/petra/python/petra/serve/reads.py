"""The API's reading half: manifests, blobs, tags, the catalogue and referrers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import VerifyReader, fetch_document
from petra.errors import FormatError, NotFoundError
from petra.oci.media_types import OCI_INDEX, OCTET_STREAM, is_manifest
from petra.oci.reference import TAG_PATTERN
from petra.serve.messages import ApiError, Request, Response, json_response
from petra.serve.repositories import AmbiguousNameError, find_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.content.protocols import ByteStream
    from petra.serve.repositories import Repositories, ServedTarget

_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_PAGE: Final = re.compile(r"[0-9]{1,9}")


class Reads:
    """Answers GET and HEAD.

    Args:
        repositories: what is served.
    """

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    def find(self, request: Request, name: str) -> tuple[str, ServedTarget]:
        """Return the repository that `name` means in this request, with its full name.

        Raises:
            ApiError: there is none, or more than one.
        """
        found = self._look_up(request, name)
        if found is None:
            raise ApiError(404, "NAME_UNKNOWN", "no such repository", detail={"name": name})
        return found

    def _look_up(self, request: Request, name: str) -> tuple[str, ServedTarget] | None:
        try:
            full = find_name(self._repositories, name, request.namespace)
        except AmbiguousNameError as error:
            message = f"several registries have this repository; ask for one of {error}"
            raise ApiError(404, "NAME_UNKNOWN", message, detail={"name": name}) from None
        target = None if full is None else self._repositories.get(full)
        return None if full is None or target is None else (full, target)

    def manifest(self, request: Request, name: str, reference: str) -> Response:
        """Return a manifest or index by tag or digest, checked."""
        if ":" in reference:
            parse_digest(reference)
        _, target = self.find(request, name)
        try:
            descriptor = _resolve(target, reference)
            raw = fetch_document(target, descriptor)
        except NotFoundError:
            raise ApiError(
                404, "MANIFEST_UNKNOWN", "no such manifest", detail={"reference": reference}
            ) from None
        headers = {"Content-Type": descriptor.media_type, **_content_headers(descriptor)}
        if _is_known(request, descriptor):
            return Response(304, headers)
        return Response(200, headers, raw)

    def blob(self, request: Request, name: str, digest_text: str) -> Response:
        """Return a blob or a range of it. A whole one is checked as it passes."""
        digest = parse_digest(digest_text)
        _, target = self.find(request, name)
        try:
            described = target.describe(digest)
        except NotFoundError:
            raise ApiError(404, "BLOB_UNKNOWN", "no such blob", detail={"digest": digest}) from None
        descriptor = Descriptor(OCTET_STREAM, digest, described.size)
        headers = {
            "Content-Type": OCTET_STREAM,
            "Accept-Ranges": "bytes",
            # The name is the content: it never changes.
            "Cache-Control": "max-age=31536000",
            **_content_headers(descriptor),
        }
        if _is_known(request, descriptor):
            return Response(304, headers)
        if (part := _range(request, descriptor)) is not None:
            return _part_response(target, descriptor, part, headers)
        return Response(200, headers, stream=_opener(target, descriptor), length=descriptor.size)

    def tags(self, request: Request, name: str) -> Response:
        """Return a repository's tags, in order, all or a page of them."""
        full, _ = self.find(request, name)
        page, headers = _page(request, sorted(self._repositories.tags(full)))
        return json_response({"name": name, "tags": page}, headers=headers)

    def catalog(self, request: Request) -> Response:
        """Return the repositories' full names, in order, all or a page of them."""
        page, headers = _page(request, sorted(self._repositories.names()))
        return json_response({"repositories": page}, headers=headers)

    def referrers(self, request: Request, name: str, digest_text: str) -> Response:
        """Return an index of the manifests whose subject is `digest_text`.

        Where there are none the index is empty, even in a repository that is not there: a 404
        would send clients looking for the tag that stands in for this API.
        """
        digest = parse_digest(digest_text)
        found = self._look_up(request, name)
        listed = found[1].referrers(Descriptor(OCTET_STREAM, digest, 0)) if found else []
        headers = {}
        if wanted := request.query.get("artifactType"):
            listed = [item for item in listed if item.artifact_type == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        index = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [item.to_json() for item in listed],
        }
        return json_response(index, media_type=OCI_INDEX, headers=headers)


def _resolve(target: ServedTarget, reference: str) -> Descriptor:
    descriptor = target.resolve(reference)
    if not is_manifest(descriptor.media_type):
        raise NotFoundError("a blob, and no manifest", where=reference)
    return descriptor


def check_reference(reference: str) -> None:
    """Refuse what is neither a tag nor a digest.

    Raises:
        ApiError: so it is.
    """
    if ":" in reference:
        parse_digest(reference)
    elif not TAG_PATTERN.fullmatch(reference):
        raise ApiError(400, "MANIFEST_INVALID", "not a tag", detail={"reference": reference[:200]})


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest.

    Raises:
        ApiError: it is none.
    """
    try:
        return Digest.parse(text)
    except FormatError:
        raise ApiError(
            400, "DIGEST_INVALID", "not a sha256 digest", detail={"digest": text[:200]}
        ) from None


def _content_headers(descriptor: Descriptor) -> dict[str, str]:
    return {"Docker-Content-Digest": descriptor.digest, "ETag": f'"{descriptor.digest}"'}


def _is_known(request: Request, descriptor: Descriptor) -> bool:
    tags = request.headers.get("if-none-match", "").split(",")
    return any(tag.strip().removeprefix("W/").strip('"') == descriptor.digest for tag in tags)


def _opener(target: ServedTarget, descriptor: Descriptor) -> Callable[[], ByteStream]:
    return lambda: VerifyReader(target.fetch(descriptor), descriptor)


def _part_response(
    target: ServedTarget, descriptor: Descriptor, part: range, headers: dict[str, str]
) -> Response:
    if not part:
        raise ApiError(
            416,
            "BLOB_UPLOAD_INVALID",
            "the range lies outside the blob",
            headers={"Content-Range": f"bytes */{descriptor.size}"},
        )
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{descriptor.size}"
    return Response(
        206,
        headers,
        stream=lambda: target.fetch_range(descriptor, part.start, len(part)),
        length=len(part),
    )


def _range(request: Request, descriptor: Descriptor) -> range | None:
    """Return the bytes asked for: None for all, an empty range where there are none such.

    Several ranges, or something malformed, get the whole blob (RFC 9110, section 14.2).
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    condition = request.headers.get("if-range", "").strip('"')
    if not match or (condition and condition != descriptor.digest) or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    size = descriptor.size
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1 if last else size))


def _page(request: Request, items: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return a page of `items`, and the header that leads to the next.

    Source: distribution-spec v1.1, "Listing Tags".
    """
    last = request.query.get("last", "")
    rest = [item for item in items if item > last] if last else items
    text = request.query.get("n")
    if text is None:
        return rest, {}
    if not _PAGE.fullmatch(text):
        raise ApiError(400, "PAGINATION_NUMBER_INVALID", "n is not a number", detail={"n": text})
    page = rest[: int(text)]
    if not page or len(page) == len(rest):
        return page, {}
    query = {"n": text, "last": page[-1]}
    if request.namespace:
        query["ns"] = request.namespace
    return page, {"Link": f'<{request.path}?{urlencode(query)}>; rel="next"'}
