"""The API's writing half: uploads of blobs, mounts between repositories, and manifests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from petra.content.descriptor import Descriptor
from petra.content.stream import DOCUMENT_LIMIT, BytesStream
from petra.errors import NotFoundError, VerificationError
from petra.oci.manifest import Manifest, parse_manifest
from petra.oci.media_types import OCTET_STREAM, is_manifest
from petra.serve.messages import ApiError, Request, Response
from petra.serve.reads import check_reference, parse_digest

if TYPE_CHECKING:
    from petra.content.digest import Digest
    from petra.serve.repositories import WritableRepositories, WritableTarget
    from petra.serve.uploads import Upload, Uploads

_CONTENT_RANGE: Final = re.compile(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?")


class Writes:
    """Answers POST, PATCH, PUT and DELETE.

    Names are taken as they are: a push goes to exactly the repository that it names.

    Args:
        repositories: where content goes.
        uploads: those under way.
    """

    def __init__(self, repositories: WritableRepositories, uploads: Uploads) -> None:
        self._repositories = repositories
        self._uploads = uploads

    def start_upload(self, request: Request, name: str) -> Response:
        """Begin an upload; mount a blob of another repository; or take a whole blob at once.

        Source: distribution-spec v1.1, "Pushing blobs" and "Mounting a blob from another
        repository".
        """
        target = self._repositories.create(name)
        if mount := request.query.get("mount"):
            digest = parse_digest(mount)
            if self._mount(target, request.query.get("from"), digest):
                return _created(f"/v2/{name}/blobs/{digest}", digest)
        upload = self._uploads.begin(name, target)
        if text := request.query.get("digest"):
            return self._finish(upload, request, parse_digest(text))
        return _progress(upload)

    def append(self, request: Request, name: str, identifier: str) -> Response:
        """Take a piece of an upload, which must go on where the last one ended."""
        upload = self._uploads.get(name, identifier)
        with upload.lock:
            _check_position(request, upload)
            upload.append(request.body)
            return _progress(upload)

    def finish(self, request: Request, name: str, identifier: str) -> Response:
        """Take an upload's last piece, if there is one, and end it."""
        upload = self._uploads.get(name, identifier)
        digest = parse_digest(request.query.get("digest", ""))
        with upload.lock:
            _check_position(request, upload)
        return self._finish(upload, request, digest)

    def status(self, name: str, identifier: str) -> Response:
        """Say how far an upload has come."""
        response = _progress(self._uploads.get(name, identifier))
        response.status = 204
        return response

    def cancel(self, name: str, identifier: str) -> Response:
        """Forget an upload."""
        upload = self._uploads.get(name, identifier)
        with upload.lock:
            self._uploads.end(upload)
        return Response(204)

    def put_manifest(self, request: Request, name: str, reference: str) -> Response:
        """Take a manifest or index, whose parts must be there already.

        Source: distribution-spec v1.1, "Pushing Manifests".
        """
        check_reference(reference)
        raw = _read_document(request)
        manifest = _parse(raw, request.headers.get("content-type", ""))
        digest = manifest.descriptor.digest
        if ":" in reference and reference != digest:
            detail = {"expected": reference, "found": digest}
            raise ApiError(400, "DIGEST_INVALID", "the manifest has another digest", detail=detail)
        target = self._repositories.create(name)
        _check_parts(target, manifest)
        target.push(manifest.descriptor, BytesStream(raw))
        if ":" not in reference:
            target.tag(manifest.descriptor, reference)
        response = _created(f"/v2/{name}/manifests/{digest}", digest)
        if manifest.subject is not None:
            response.headers["OCI-Subject"] = manifest.subject.digest
        return response

    def _finish(self, upload: Upload, request: Request, digest: Digest) -> Response:
        with upload.lock:
            try:
                upload.append(request.body)
                upload.commit(digest)
            finally:
                self._uploads.end(upload)
        return _created(f"/v2/{upload.name}/blobs/{digest}", digest)

    def _mount(self, target: WritableTarget, origin: str | None, digest: Digest) -> bool:
        """Copy a blob from the repository `origin`; False where it is not there."""
        source = self._repositories.get(origin) if origin else None
        if source is None:
            return False
        try:
            descriptor = Descriptor(OCTET_STREAM, digest, source.describe(digest).size)
            with source.fetch(descriptor) as stream:
                target.push(descriptor, stream)
        except NotFoundError:
            return False
        return True


def _created(location: str, digest: Digest) -> Response:
    return Response(201, {"Location": location, "Docker-Content-Digest": digest})


def _progress(upload: Upload) -> Response:
    headers = {
        "Location": f"/v2/{upload.name}/blobs/uploads/{upload.identifier}",
        "Range": f"0-{max(0, upload.size - 1)}",
        "Docker-Upload-UUID": upload.identifier,
    }
    return Response(202, headers)


def _check_position(request: Request, upload: Upload) -> None:
    text = request.headers.get("content-range")
    if text is None:
        return
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None:
        raise ApiError(400, "BLOB_UPLOAD_INVALID", "Content-Range is malformed")
    first, last = int(match[1]), int(match[2])
    fits = request.length is None or last - first + 1 == request.length
    if first != upload.size or not fits:
        headers = _progress(upload).headers
        raise ApiError(416, "BLOB_UPLOAD_INVALID", "the piece is out of order", headers=headers)


def _read_document(request: Request) -> bytes:
    raw = bytearray()
    while piece := request.body.read(64 * 1024):
        raw += piece
        if len(raw) > DOCUMENT_LIMIT:
            message = f"a manifest has at most {DOCUMENT_LIMIT} bytes"
            raise ApiError(413, "MANIFEST_INVALID", message)
    return bytes(raw)


def _parse(raw: bytes, media_type: str) -> Manifest:
    try:
        return parse_manifest(raw, media_type or None, where="the request's body")
    except VerificationError as error:
        raise ApiError(
            400, "MANIFEST_INVALID", error.message, detail=error.details() or None
        ) from None


def _check_parts(target: WritableTarget, manifest: Manifest) -> None:
    """Refuse a manifest before its parts, as other registries do."""
    missing = [part for part in manifest.successors() if not target.exists(part)]
    if missing:
        code = "MANIFEST_BLOB_UNKNOWN"
        if any(is_manifest(part.media_type) for part in missing):
            code = "MANIFEST_UNKNOWN"
        raise ApiError(
            404,
            code,
            "parts of the manifest are not here yet",
            detail={"digests": [part.digest for part in missing]},
        )
