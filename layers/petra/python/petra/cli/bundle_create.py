"""``petra bundle create``: make a bundle from a spec."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from petra.cli.base_files import base_line, base_options, base_value, read_base
from petra.cli.chunk_options import chunk_flags, chunk_options
from petra.cli.command import file_option, petra_command
from petra.cli.custody import CUSTODY_SETTINGS, custody
from petra.cli.evidence import early_scanner, evidence_rules, gather_evidence, scanning, tell_of
from petra.cli.guarding import Guard
from petra.cli.output import counted, human_size
from petra.cli.policy_files import POLICY_SETTINGS, read_policy, trust_beside, trusted_root
from petra.cli.registries import REGISTRY_SETTINGS
from petra.cli.spec_files import (
    lock_value,
    read_lock,
    read_spec,
    request,
    source_date_epoch,
    warn_of_missing,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from petra.bundle.create import Created, Place, Prepared, Request
    from petra.bundle.differential import Held
    from petra.bundle.evidence_rules import EvidenceRules
    from petra.bundle.metadata import Base, PolicyRecord
    from petra.bundle.spec import ImageSpec, Spec
    from petra.cli.command import Call
    from petra.cli.settings import Settings
    from petra.cli.spec_files import SpecFile
    from petra.scan.grype import GrypeScanner
    from petra.transfer.chunking import ChunkOptions
    from petra.trust.policy import SignaturePolicy
    from petra.trust.root import TrustedRoot
    from petra.trust.signer import Signer


@petra_command(
    "create",
    settings=(
        "key",
        "image_key",
        *POLICY_SETTINGS,
        "output_dir",
        "store",
        *CUSTODY_SETTINGS,
        *REGISTRY_SETTINGS,
    ),
)
@file_option("The spec, a bundle.yaml.", metavar="SPEC")
@click.option(
    "--format",
    "form",
    type=click.Choice(["tar.zst", "tar.gz"]),
    help="The bundle's format, instead of the spec's output.format.",
)
@click.option("--locked", is_flag=True, help="Keep to bundle.lock.yaml and refuse any drift.")
@click.option(
    "--allow-missing-images",
    is_flag=True,
    help="Go on although a bundled release needs an image that the spec lacks.",
)
@click.option(
    "--profile",
    metavar="NAME|FILE",
    help="Prove it to a guard's profile before anything is written; see petra bundle lint.",
)
@base_options
@chunk_flags
def command(  # one for each option
    call: Call,
    file: str,
    form: str | None,
    locked: bool,  # noqa: FBT001  # a flag
    allow_missing_images: bool,  # noqa: FBT001  # a flag
    profile: str | None,
    **flags: Any,
) -> None:
    """Make a bundle from a spec: resolve, verify, pack and sign.

    Writes DIR/NAME-VERSION.tar.zst with its signatures .sig and .sigstore.json, and its signed
    provenance .intoto.json. Nothing shows under these names before all of it is well. With
    --chunks-to the bundle is written as a folder of chunks instead, in the same pass. With --base
    the layers that the receiver holds already stay out; load then proves that they are there.
    """
    with ThreadPoolExecutor(2) as pool:
        early = _unseal_early(call.settings, pool)
        spec = read_spec(file)
        lock = read_lock(spec.lock_path) if locked else None
        signer = _signer(call.settings, spec.spec, pool, early)
        rules, guard = _rules(call.settings, spec), Guard(profile)
        scanner = early_scanner(rules.evidence, pool)
        folder = Path(call.settings.output_dir or spec.spec.spec.output.dir)
        cut = chunk_options(spec.spec, folder, flags)
        held = read_base(call, flags, signer)
        asked = request(spec, call.settings, locked=lock, allow_missing=allow_missing_images)
        sealer = signer.result if signer else None
        with asked as wanted, custody(call, "connected", "create", sealer) as digests:
            making = _Making(wanted, signer, rules, scanner, cut, guard, held)
            created = _create(call, spec.spec, making, form)
            digests[created.path.name] = created.packed.digest
        release = guard.write_release(created, cut)
    if cut:
        created = replace(created, path=cut.folder)
    value, lines = _value(created), _lines(created)
    if release:
        value, lines = {**value, "release": str(release)}, [*lines, ("release", str(release))]
    call.console.result(value, "\n".join(f"{name:10} {text}" for name, text in lines))


@dataclass(frozen=True, slots=True)
class _Making:
    """What a bundle is made with."""

    wanted: Request
    signer: Future[Signer] | None
    rules: _Rules
    scanner: Future[GrypeScanner] | None
    cut: ChunkOptions | None
    guard: Guard
    held: Held | None


def _create(call: Call, spec: Spec, making: _Making, form: str | None) -> Created:
    from petra.archive.writer import FETCHERS  # noqa: PLC0415  # start-up time
    from petra.bundle.create import (  # noqa: PLC0415  # start-up time
        FilePlace,
        Output,
        accepted,
        check_images,
        create,
        prepare,
    )
    from petra.bundle.describe import Contents  # noqa: PLC0415  # as above
    from petra.bundle.needs import components  # noqa: PLC0415  # as above

    form = form or spec.spec.output.format
    folder = Path(call.settings.output_dir or spec.spec.output.dir)
    folder = making.cut.folder if making.cut else folder
    wanted, rules = making.wanted, making.rules
    with call.console.progress() as progress:
        progress.on_start("resolving")
        prepared = prepare(wanted)
        outcomes = check_images(prepared.resolution, rules.images)
        progress.on_done()
        with scanning(progress, rules.evidence):
            evidence = gather_evidence(
                prepared, rules.evidence, rules.images, making.scanner, outcomes
            )
        verdicts = accepted(prepared.resolution, outcomes)
        tell_of(call, evidence)
        warn_of_missing(call, prepared.settled.missing)
        files = prepared.settled.files
        certified = evidence.certified or any(
            one.certified for each in verdicts.values() for one in each.signatures
        )
        leaving = _base(prepared, making.held)
        contents = Contents(
            prepared.resolution,
            prepared.lock,
            files,
            components(files),
            verdicts,
            evidence,
            policy=rules.policy,
            trusted_root=rules.root().data if certified else None,
            base=leaving,
        )
        flags: dict[str, bool | str] = {
            "locked": wanted.locked is not None,
            "allowMissingImages": wanted.allow_missing_images,
        }
        if rules.policy:
            flags["policy"] = rules.policy.digest
        if leaving:
            flags["base"] = leaving.digest
        output = Output(
            folder / f"{spec.stem}.{form}",
            form,
            source_date_epoch(),
            wanted.sources.store,
            call.settings.connections or FETCHERS,
            flags,
            partial(_chunk_place, making.cut) if making.cut else FilePlace,
            making.guard.approval(f"{spec.stem}.{form}", form, making.cut),
        )
        return create(contents, output, making.signer, progress)


def _base(prepared: Prepared, held: Held | None) -> Base | None:
    """Return what stays out of the bundle; None for a whole one."""
    if held is None:
        return None
    from petra.bundle.differential import differential_base  # noqa: PLC0415  # start-up time

    return differential_base(prepared.lock, prepared.resolution.images, held)


def _chunk_place(options: ChunkOptions, path: Path, size: int) -> Place:
    from petra.transfer.chunking import ChunkPlace  # noqa: PLC0415  # start-up time

    return ChunkPlace(options, path, size)


def _unseal_early(settings: Settings, pool: Executor) -> Future[Signer] | None:
    """Begin to unseal the key beside all else, where nobody has to be asked: it takes 0.15 s."""
    from petra.cli.keys import PASSWORD_VARIABLE, signer_from  # noqa: PLC0415  # start-up time

    if settings.key is None or PASSWORD_VARIABLE not in os.environ:
        return None
    return pool.submit(signer_from, settings.key)


def _signer(
    settings: Settings, spec: Spec, pool: Executor, early: Future[Signer] | None
) -> Future[Signer] | None:
    """Return the signer to come, or None if the spec wants no signature.

    Asking for a password is the main thread's; only the costly part (scrypt) goes to `pool`.
    """
    if not spec.spec.output.sign:
        return None
    if early:
        return early
    from petra.cli.keys import key_password, signer_from  # noqa: PLC0415  # only signers pay

    location = settings.need("key")
    password = key_password(location) if Path(location).is_file() and _sealed(location) else None
    return pool.submit(signer_from, location, lambda _: password)


def _sealed(location: str) -> bool:
    from petra.cli.files import read_file  # noqa: PLC0415  # as above
    from petra.cli.keys import KEY_LIMIT  # noqa: PLC0415  # as above
    from petra.trust.keys import is_encrypted  # noqa: PLC0415  # as above

    return is_encrypted(read_file(location, limit=KEY_LIMIT), where=location)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What images are verified by.

    Attributes:
        images: says for each image who must have signed it.
        root: gives the trusted root of keyless signatures.
        policy: the policy, as the metadata record it; None where the spec decides alone.
        evidence: says for each image what evidence is asked for.
    """

    images: Callable[[ImageSpec], SignaturePolicy]
    root: Callable[[], TrustedRoot]
    policy: PolicyRecord | None
    evidence: EvidenceRules


def _rules(settings: Settings, file: SpecFile) -> _Rules:
    """Return who must have signed each image: as policy and spec say, else as the setting does.

    Keys are read now: a missing one is told before a registry is asked for anything.
    """
    from petra.bundle.image_rules import PolicyRules, SpecRules  # noqa: PLC0415  # as above
    from petra.bundle.metadata import PolicyRecord  # noqa: PLC0415  # as above
    from petra.cli.keys import public_keys  # noqa: PLC0415  # as above
    from petra.trust.policy import KeyPolicy  # noqa: PLC0415  # as above

    policy = read_policy(settings)
    root = trusted_root(settings, policy)
    rules = PolicyRules(policy.policy, trust_beside(policy.path, root)) if policy else None

    def default() -> SignaturePolicy:
        return KeyPolicy(tuple(public_keys(settings.need("image_key"))))

    images = SpecRules(file.spec, trust_beside(file.path, root), default, rules)
    record = PolicyRecord(name=policy.policy.name, digest=policy.digest) if policy else None
    return _Rules(images, root, record, evidence_rules(file, policy))


def _value(created: Created) -> dict[str, Any]:
    return {
        "bundle": str(created.path),
        "digest": created.packed.digest,
        "size": created.packed.size,
        "signatures": [str(path) for path in created.signatures],
        "provenance": str(created.provenance) if created.provenance else None,
        "base": base_value(created.contents.base),
        **lock_value(created.contents.lock),
    }


def _lines(created: Created) -> list[tuple[str, str]]:
    lock = created.contents.lock
    lines = [
        ("bundle", str(created.path)),
        ("digest", created.packed.digest),
        ("size", f"{human_size(created.packed.size)} ({created.packed.size} bytes)"),
        ("holds", f"{counted(len(lock.images), 'image')}, {counted(len(lock.charts), 'chart')}"),
    ]
    if base := created.contents.base:
        lines.append(("left out", base_line(base)))
    signatures = [("signature", str(path)) for path in created.signatures]
    signatures += [("provenance", str(created.provenance))] if created.provenance else []
    return lines + (signatures or [("signature", "none: output.sign is false in the spec")])
