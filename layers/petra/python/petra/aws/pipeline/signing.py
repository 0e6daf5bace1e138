"""Signs the bundle, or verifies the signature that came with it; lists what crosses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petra.aws.metrics import Metric
from petra.aws.objects import Stored, copy_object, describe
from petra.aws.pipeline.chunk_objects import Whole, chunk_records, cut, manifest_bytes
from petra.aws.pipeline.opening import check_received, read_beside
from petra.aws.pipeline.plans import out_key
from petra.aws.pipeline.runs import read_object, write_object
from petra.aws.pipeline.status import tell
from petra.aws.s3_source import S3Source
from petra.bundle.signatures import signed_files
from petra.content.digest import Digest
from petra.errors import DigestMismatchError, PolicyError
from petra.transfer.names import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.aws.pipeline.runs import Runs
    from petra.aws.pipeline.sides import Connected


@dataclass(frozen=True, slots=True)
class _Sent:
    """A file that crosses."""

    name: str
    key: str
    version: str | None
    size: int
    digest: Digest

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "key": self.key,
            "version": self.version,
            "size": self.size,
            "digest": self.digest,
        }


def sign_run(side: Connected, run: str) -> dict[str, Any]:
    """Sign a run's bundle, cut it where the transfer asks for that, and list what crosses.

    A bundle that was uploaded finished is verified instead: its signature, the policy, its members
    and its images' own signatures.

    Args:
        side: the connected side.
        run: the run.

    Returns:
        ``run`` and ``files`` (how many).

    Raises:
        SignatureError: KMS, or a finished bundle's signature, is no good.
        PolicyError: a finished bundle is not what the policy asks for.
        PetraError: KMS or S3 failed.
    """
    runs = side.runs(run)
    listed = runs.find_json("transfer.json")
    if listed is None:
        plan = runs.read_json("plan.json")
        tell(side.s3, side.staging, runs.read_json("origin.json"), side.now, stage="sign")
        beside = _given(side, runs, plan) if plan["assembled"] else _signed(side, runs)
        whole = _whole(side, runs)
        listed = runs.keep_json("transfer.json", {"groups": _groups(side, whole, beside)})
    return {"run": run, "files": sum(len(group) for group in listed["groups"])}


def _whole(side: Connected, runs: Runs) -> Whole:
    made = runs.read_json("bundle.json")
    digest = Digest.parse(made["digest"], where="bundle.json")
    return Whole(side.outbox, made["key"], made["version"], digest, made["size"])


def _signed(side: Connected, runs: Runs) -> dict[str, bytes]:
    """Return the signatures of the bundle; those of a try before, where there was one."""
    whole = _whole(side, runs)
    found = runs.find_json("signatures.json")
    if found is None:
        files = signed_files(whole.file, whole.digest, side.signer(), runs.read("statement.json"))
        text = {name: data.decode("utf-8") for name, data in files.items()}
        found = runs.keep_json("signatures.json", text)
    return {name: text.encode() for name, text in found.items()}


def _given(side: Connected, runs: Runs, plan: dict[str, Any]) -> dict[str, bytes]:
    """Verify a bundle that was uploaded finished, and copy it to the outbox."""
    bucket, key, version = (plan["given"][name] for name in ("bucket", "key", "version"))
    receiver = side.config.sender(side.now, side.signer().public_key)
    beside = read_beside(side.s3, bucket, key)
    with S3Source(side.s3, bucket, key, version) as source:
        found = check_received(source, plan["file"], beside, receiver, now=side.now)
        size = source.size
    metadata, digest = found.metadata, found.archive.digest
    if f"{metadata.name}-{metadata.version}" != plan["stem"]:
        raise PolicyError("the bundle is another than it said", where=key)
    there = Stored(version, size, digest)
    place = out_key(plan["stem"], plan["file"])
    source_object = {"Bucket": bucket, "Key": key, "VersionId": version}
    copied = copy_object(side.s3, source_object, there, side.outbox, place)
    made = {
        "file": plan["file"],
        "key": place,
        "version": copied.version,
        "digest": digest,
        "size": size,
    }
    runs.keep_json("bundle.json", made)
    side.emit({Metric.BUNDLE_BYTES: size})
    return {plan["file"] + suffix: data for suffix, data in beside.items()}


def _groups(
    side: Connected, whole: Whole, beside: Mapping[str, bytes]
) -> list[list[dict[str, Any]]]:
    """Put all files in the outbox; return them in the order of sending, as a shipment has it."""
    limit = side.settings.transfer.max_bytes
    if limit is None or whole.size <= limit:
        bundle = _Sent(whole.file, whole.key, whole.version, whole.size, whole.digest)
        groups = [[bundle], [_put(side, whole, *one) for one in beside.items()]]
    else:
        groups = _chunked(side, whole, beside, limit)
    return [[one.to_json() for one in group] for group in groups]


def _chunked(
    side: Connected, whole: Whole, beside: Mapping[str, bytes], limit: int
) -> list[list[_Sent]]:
    with S3Source(side.s3, whole.bucket, whole.key, whole.version) as source:
        manifest = chunk_records(source, whole, limit)
    stored = cut(side.s3, whole, manifest)
    chunks = [
        _Sent(record.name, whole.beside(record.name), one.version, record.size, record.digest)
        for record, one in zip(manifest.chunks, stored, strict=True)
    ]
    data = manifest_bytes(manifest)
    listed = _put(side, whole, MANIFEST, data)
    signatures = signed_files(MANIFEST, Digest.of(data), side.signer())
    return [
        chunks,
        [*(_put(side, whole, *one) for one in beside.items()), listed],
        [_put(side, whole, *one, signature=True) for one in signatures.items()],
    ]


def _put(
    side: Connected, whole: Whole, name: str, data: bytes, *, signature: bool = False
) -> _Sent:
    """Put a small file beside the bundle; one of a try before stays.

    Args:
        side: the connected side.
        whole: the bundle.
        name: the file's.
        data: its content.
        signature: whether another content is as good: KMS never signs twice alike.
    """
    key = whole.beside(name)
    if not write_object(side.s3, whole.bucket, key, data, once=True):
        there = read_object(side.s3, whole.bucket, key) or b""
        if there != data and not signature:
            raise DigestMismatchError(
                "another object stands where the bundle's files go; nothing is replaced",
                where=f"s3://{whole.bucket}/{key}",
                expected=Digest.of(data),
                found=Digest.of(there),
            )
        data = there
    stored = describe(side.s3, whole.bucket, key)
    return _Sent(name, key, stored.version if stored else None, len(data), Digest.of(data))
