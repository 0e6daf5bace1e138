"""``petra bundle report`` on a real bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.content.digest import Digest
from tests.support.command import Run, assert_refused
from tests.support.world import WEB, WORKER, World

if TYPE_CHECKING:
    from pathlib import Path


def _create(world: World, petra: Run) -> Path:
    spec = world.spec(WEB, WORKER, charts=[world.chart()])
    assert petra("bundle", "create", "-f", spec, "--key", "ours.key", "-q").status == 0
    return world.bundle


def test_the_page_lies_beside_the_bundle_and_says_verified(world: World, petra: Run) -> None:
    bundle = _create(world, petra)
    value = petra("bundle", "report", bundle, "--key", "ours.pub", "--output", "json").json
    page = world.dist / "shop-1.4.0.report.html"
    assert value == {"report": str(page), "verified": True, "size": page.stat().st_size}
    text = page.read_text("utf-8")
    assert "Signature verified" in text
    assert Digest.of(bundle.read_bytes()) in text
    assert all(world.images[image].digest in text for image in (WEB, WORKER))


def test_without_a_key_it_says_unverified(world: World, petra: Run, tmp_path: Path) -> None:
    bundle = _create(world, petra)
    outcome = petra("bundle", "report", "-f", bundle, "--to", tmp_path / "page.html")
    assert outcome.status == 0
    assert "UNVERIFIED" in outcome.out
    assert "UNVERIFIED" in (tmp_path / "page.html").read_text("utf-8")


def test_a_bundle_that_does_not_verify_gets_no_page(world: World, petra: Run) -> None:
    bundle = _create(world, petra)
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    assert_refused(petra("bundle", "report", bundle, "--key", "ours.pub", "-q"), 3, "signature")
    assert not (world.dist / "shop-1.4.0.report.html").exists()


def test_one_bundle_is_named(petra: Run) -> None:
    assert petra("bundle", "report").status == 2
    assert petra("bundle", "report", "a", "-f", "b").status == 2
