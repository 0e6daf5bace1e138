"""Makes the bundle: straight from registries into one object of the outbox, in one pass."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petra.aws.metrics import Metric
from petra.aws.objects import Stored, describe
from petra.aws.pipeline.image_steps import evidence_rules, from_documents, spec_rules
from petra.aws.pipeline.plans import out_key, read_spec, request
from petra.aws.s3_sink import S3Sink
from petra.aws.s3_source import S3Source
from petra.bundle.create import Output, Prepared, accepted, check_images, create, prepare
from petra.bundle.describe import Contents
from petra.bundle.metadata import PolicyRecord
from petra.bundle.needs import components
from petra.bundle.signatures import hash_source
from petra.content.progress import NoProgress
from petra.errors import DigestMismatchError

if TYPE_CHECKING:
    from petra.archive.sink import Sink
    from petra.archive.writer import Watch
    from petra.aws.pipeline.runs import Runs
    from petra.aws.pipeline.sides import Connected
    from petra.bundle.spec import Spec
    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.trust.keys import PublicKey
    from petra.trust.signer import Signer


def assemble(side: Connected, run: str) -> dict[str, Any]:
    """Make a run's bundle, as one object that appears whole; found if it was made before.

    Args:
        side: the connected side.
        run: the run.

    Returns:
        ``run`` and ``bytes``.

    Raises:
        VerificationError: an image is not what it was when it was resolved and verified.
        PetraError: a registry, or S3, failed; nothing is in the outbox then.
    """
    runs = side.runs(run)
    made = runs.find_json("bundle.json") or _found(side, runs)
    if made is None:
        made = _made(side, runs)
    found = runs.keep_json("bundle.json", made)
    return {"run": run, "bytes": found["size"]}


def _made(side: Connected, runs: Runs) -> dict[str, Any]:
    spec, data, lock = read_spec(side, runs.run)
    with side.registries() as registries:
        prepared = prepare(replace(request(spec, data, registries, side.now), locked=lock))
        contents = _contents(side, runs, spec, prepared)
        file, key = _names(runs)
        place: list[_Place] = []

        def opened(_path: Path, size: int) -> _Place:
            place.append(_Place(side, runs, key, size))
            return place[0]

        flags: dict[str, bool | str] = {
            "locked": True,
            "allowMissingImages": spec.spec.platform.allow_missing_images,
            "policy": side.config.policy_digest,
        }
        output = Output(Path(file), spec.spec.output.format, flags=flags, place=opened)
        later: Future[Signer] = Future()
        later.set_result(_Later())
        created = create(contents, output, later, NoProgress())
    stored = place[0].object.stored
    assert stored  # noqa: S101  # for mypy: it was committed
    side.emit({Metric.BUNDLE_BYTES: created.packed.size})
    return _bundle(file, key, stored, created.packed.digest)


def _names(runs: Runs) -> tuple[str, str]:
    plan = runs.read_json("plan.json")
    return plan["file"], out_key(plan["stem"], plan["file"])


def _bundle(file: str, key: str, stored: Stored, digest: Digest) -> dict[str, Any]:
    return {
        "file": file,
        "key": key,
        "version": stored.version,
        "digest": digest,
        "size": stored.size,
    }


def _found(side: Connected, runs: Runs) -> dict[str, Any] | None:
    """Return the bundle that a try before this one put there and did not live to tell of."""
    packed = runs.find_json("packed.json")
    file, key = _names(runs)
    stored = describe(side.s3, side.outbox, key) if packed else None
    if packed is None or stored is None:
        return None
    with S3Source(side.s3, side.outbox, key, stored.version) as source:
        digest = hash_source(source, NoProgress())
    if digest != packed["digest"]:
        raise DigestMismatchError(
            "another object stands where the bundle was put",
            where=f"s3://{side.outbox}/{key}",
            expected=packed["digest"],
            found=digest,
            hint="find out who wrote it; give the spec a new metadata.version",
        )
    return _bundle(file, key, stored, digest)


def _contents(side: Connected, runs: Runs, spec: Spec, prepared: Prepared) -> Contents:
    verdicts = accepted(
        prepared.resolution, check_images(prepared.resolution, spec_rules(side, spec))
    )
    evidence = from_documents(
        (
            (image.name, runs.read_json(f"images/{index}.scan.json"))
            for index, image in enumerate(spec.spec.images)
        ),
        evidence_rules(side, spec),
    )
    certified = evidence.certified or any(
        one.certified for each in verdicts.values() for one in each.signatures
    )
    files = prepared.settled.files
    return Contents(
        prepared.resolution,
        prepared.lock,
        files,
        components(files),
        verdicts,
        evidence,
        policy=PolicyRecord(name=side.config.policy.name, digest=side.config.policy_digest),
        trusted_root=side.config.root.data if certified else None,
    )


@dataclass(frozen=True, slots=True)
class _Later:
    """Stands for the signer that signs in a step of its own; signs nothing."""

    @property
    def public_key(self) -> PublicKey:
        raise AssertionError("the bundle is signed in the next step")

    def sign_digest(self, _digest: Digest, /) -> bytes:
        raise AssertionError("the bundle is signed in the next step")


class _Place:
    """An object in the outbox; see :class:`petra.bundle.create.Place`."""

    def __init__(self, side: Connected, runs: Runs, key: str, size: int) -> None:
        self.object = S3Sink(side.s3, side.outbox, key, size)
        self.sink: Sink = self.object
        self.watch: Watch | None = None
        self._runs = runs

    def sign(
        self, digest: Digest, signer: Signer, statement: bytes, progress: Progress
    ) -> tuple[Path, ...]:
        """Note what is to be signed in the next step, before the object appears."""
        del signer, progress
        self._runs.put("statement.json", statement)
        self._runs.put_json("packed.json", {"digest": digest})
        return ()
