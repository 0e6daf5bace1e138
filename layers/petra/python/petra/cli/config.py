"""The configuration file's own model. Imported only where there is such a file."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from petra.cli.setting_table import SETTINGS
from petra.cli.settings import CONFIG_LIMIT
from petra.encoding.models import Items, Model, reading, validate
from petra.encoding.yaml import load_all_yaml
from petra.errors import DocumentError


class Registries(Model):
    """How registries are spoken to."""

    insecure: Items[str] | None = None
    mirrors: dict[str, str] | None = None
    ca_file: str | None = Field(None, min_length=1)
    connections: int | None = Field(None, ge=1, le=64)


class Loading(Model):
    """Where bundles are loaded to, and by which rules."""

    images_to: Items[str] | None = None
    charts_to: str | None = Field(None, min_length=1)
    manifests_to: str | None = Field(None, min_length=1)
    sign_key: str | None = Field(None, min_length=1)
    channel: str | None = Field(None, min_length=1)
    cluster_registry: str | None = Field(None, min_length=1)
    cluster_secret: str | None = Field(None, min_length=1)
    cluster_ca_secret: str | None = Field(None, min_length=1)
    bootstrap: str | None = Field(None, min_length=1)
    ledger: str | None = Field(None, min_length=1)
    allow_skipped: Items[str] | None = None


class Cluster(Model):
    """The cluster that follows what is loaded."""

    kubeconfig: str | None = Field(None, min_length=1)
    receiver: str | None = Field(None, min_length=1)
    receiver_token_file: str | None = Field(None, min_length=1)


class ConfigFile(Model):
    """The whole file. Every field may be left out."""

    key: str | None = Field(None, min_length=1)
    verify_key: str | None = Field(None, min_length=1)
    image_key: str | None = Field(None, min_length=1)
    policy: str | None = Field(None, min_length=1)
    trusted_root: str | None = Field(None, min_length=1)
    output_dir: str | None = Field(None, min_length=1)
    store: str | None = Field(None, min_length=1)
    custody: str | None = Field(None, min_length=1)
    custody_key: str | None = Field(None, min_length=1)
    custody_from: str | None = Field(None, min_length=1)
    pipeline: str | None = Field(None, min_length=1)
    registries: Registries = Registries()
    load: Loading = Loading()
    cluster: Cluster = Cluster()


def parse_config(data: bytes, *, where: str) -> dict[str, Any]:
    """Return the settings that the file gives, by the names of SETTINGS.

    Raises:
        DocumentError: a field is wrong; names file, line and the nearest valid name.
    """
    if not load_all_yaml(data, where=where):
        return {}  # nothing but comments
    document = reading(data, CONFIG_LIMIT, where=where, error=DocumentError)
    config = validate(ConfigFile, document.value, where=where, document=document)
    value = config.model_dump(by_alias=True)
    named = {name: _at(value, setting.key) for name, setting in SETTINGS.items()}
    return {name: found for name, found in named.items() if found is not None}


def _at(value: Any, path: str) -> Any:
    """Return what stands at a dotted path."""
    for key in path.split("."):
        value = value[key]
    return value
