from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from petra.cli.registries import registry_options
from petra.cli.setting_table import SETTINGS
from petra.cli.settings import Settings, config_path
from petra.errors import DocumentError, SettingError

if TYPE_CHECKING:
    from tests.support.command import Run

Config = Callable[[str], Path]


def _environ(tmp_path: Path, **variables: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), **variables}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_a_place_in_the_file(name: str) -> None:
    from petra.cli.config import ConfigFile

    value: object = ConfigFile().model_dump(by_alias=True)
    for key in SETTINGS[name].key.split("."):
        assert isinstance(value, dict)
        assert key in value
        value = value[key]


def test_a_flag_beats_a_variable_and_a_variable_beats_the_file(
    tmp_path: Path, config: Config
) -> None:
    config("key: /file.key\nimageKey: /file.pub\nverifyKey: /verify.pub\n")
    environ = _environ(tmp_path, PETRA_KEY="variable.key", PETRA_IMAGE_KEY="variable.pub")
    settings = Settings.resolve({"key": "flag.key", "image_key": None}, environ)
    assert settings.key == "flag.key"
    assert settings.image_key == "variable.pub"
    assert settings.verify_key == "/verify.pub"


def test_an_empty_variable_is_not_given(tmp_path: Path, config: Config) -> None:
    config("key: /file.key\n")
    assert Settings.resolve({}, _environ(tmp_path, PETRA_KEY=" ")).key == "/file.key"


def test_paths_in_the_file_start_at_its_folder_and_uris_stay(
    tmp_path: Path, config: Config
) -> None:
    path = config("key: awskms:///alias/petra\nimageKey: keys/images.pub\nstore: ~/store\n")
    settings = Settings.resolve({}, _environ(tmp_path))
    assert settings.key == "awskms:///alias/petra"
    assert settings.image_key == str(path.parent / "keys/images.pub")
    assert settings.store == str(Path("~/store").expanduser())


def test_registries_are_set_in_all_three_ways(tmp_path: Path, config: Config) -> None:
    config(
        "registries:\n  insecure: [a:5000]\n  mirrors: {docker.io: m.example}\n"
        "  caFile: ca.pem\n  connections: 3\n"
    )
    found = Settings.resolve({}, _environ(tmp_path))
    assert found.insecure_registries == ("a:5000",)
    assert found.mirrors == {"docker.io": "m.example"}
    assert found.connections == 3
    environ = _environ(
        tmp_path,
        PETRA_INSECURE_REGISTRIES="b, c:1",
        PETRA_MIRRORS="docker.io=n.example, quay.io=q.example/q",
        PETRA_CONNECTIONS="5",
    )
    found = Settings.resolve({}, environ)
    assert found.insecure_registries == ("b", "c:1")
    assert found.mirrors == {"docker.io": "n.example", "quay.io": "q.example/q"}
    assert found.connections == 5
    flags = {"insecure_registries": ("d",), "mirrors": ("x=y",), "connections": "7"}
    options = registry_options(Settings.resolve(flags, environ))
    assert options.insecure_registries == {"d"}
    assert options.mirrors == {"x": "y"}
    assert options.connections == 7
    assert options.ca_file == tmp_path / "config/petra/ca.pem"


def test_a_needed_setting_that_is_missing_names_all_three_ways(tmp_path: Path) -> None:
    settings = Settings.resolve({}, _environ(tmp_path))
    with pytest.raises(SettingError) as caught:
        settings.need("key")
    path = tmp_path / "config/petra/config.yaml"
    assert caught.value.message == "no signing key"
    assert caught.value.hint == f"give --key, set PETRA_KEY, or put `key:` into {path}"


def test_every_setting_has_its_own_variable_and_key() -> None:
    assert len({setting.variable for setting in SETTINGS.values()}) == len(SETTINGS)
    assert len({setting.key for setting in SETTINGS.values()}) == len(SETTINGS)
    assert set(SETTINGS) <= set(Settings.__dataclass_fields__)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PETRA_MIRRORS", "docker.io"),
        ("PETRA_MIRRORS", "=x"),
        ("PETRA_CONNECTIONS", "many"),
        ("PETRA_CONNECTIONS", "0"),
        ("PETRA_CONNECTIONS", "1000"),
        ("PETRA_CONNECTIONS", "٣"),
    ],
)
def test_an_unusable_variable_is_named(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.resolve({}, _environ(tmp_path, **{variable: value}))
    assert caught.value.where == variable


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("kee: a\n", 1, "kee: no such field"),
        ("key: a\nregistries:\n  insecur: [a]\n", 3, "registries.insecur: no such field"),
        ("key: a\nregistries: {connections: 0}\n", 2, "registries.connections: input should be"),
        ("key: [a]\n", 1, "key: wrong type"),
        ("key: ''\n", 1, "key: string should have at least 1 character"),
        ("key: a\nkey: b\n", 2, "the key 'key' stands twice"),
        ("- a\n", 1, "the document: wrong type"),
    ],
)
def test_a_fault_in_the_file_is_named_by_line(
    tmp_path: Path, config: Config, text: str, line: int, message: str
) -> None:
    path = config(text)
    with pytest.raises(DocumentError) as caught:
        Settings.resolve({}, _environ(tmp_path))
    assert caught.value.where == f"{path}:{line}"
    assert caught.value.message.startswith(message)


def test_a_file_of_comments_says_nothing(tmp_path: Path, config: Config) -> None:
    config("# key: a\n")
    assert Settings.resolve({}, _environ(tmp_path)).key is None


def test_the_file_is_where_xdg_says_unless_it_is_named(tmp_path: Path) -> None:
    assert config_path({"XDG_CONFIG_HOME": "/x"}) == (Path("/x/petra/config.yaml"), False)
    home = Path("~/.config/petra/config.yaml").expanduser()
    assert config_path({"XDG_CONFIG_HOME": "relative"}) == (home, False)
    assert config_path({"PETRA_CONFIG": "/c.yaml"}) == (Path("/c.yaml"), True)
    assert config_path({"PETRA_CONFIG": "/c.yaml"}, "/d.yaml") == (Path("/d.yaml"), True)


def test_a_file_that_was_named_must_be_there(petra: Run, tmp_path: Path) -> None:
    outcome = petra("version", "--config", tmp_path / "none.yaml")
    assert outcome.status == 2
    assert "no such configuration file" in outcome.err


def test_an_endless_file_is_not_read_to_its_end(petra: Run) -> None:
    outcome = petra("version", "--config", "/dev/zero", "--output", "json")
    assert outcome.status == 2
    assert outcome.json["error"]["message"] == "file too large"


def test_an_unreadable_file_is_told(petra: Run, tmp_path: Path) -> None:
    outcome = petra("version", "--config", tmp_path)
    assert outcome.status == 2
    assert "not a usable path" in outcome.err
