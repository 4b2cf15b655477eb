"""The configuration object: what is read, what is refused, and what never shows."""

from __future__ import annotations

import base64
import dataclasses
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from construct_site import env
from construct_site.env import Config, InvalidConfiguration, load

SECRETS = [each.name for each in dataclasses.fields(Config) if each.metadata["secret"]]
UNREADABLE = {int: "twelve", float: "soon", bool: "perhaps"}
FIELDS_BY_TYPE = {
    kind: [name for name, hint in get_type_hints(Config).items() if hint is kind] for kind in UNREADABLE
}


def test_without_any_variable_every_setting_has_its_default() -> None:
    config = load({})
    assert (config.environment, config.host, config.port) == ("production", "127.0.0.1", 3000)
    assert config.production
    assert config.limits_on
    assert config.data_dir == env.REPOSITORY / "var"


def test_a_variable_set_to_nothing_has_its_default() -> None:
    assert load({"PORT": "", "CONSTRUCT_LIMITS": ""}) == load({})


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("PORT", "4000", "port", 4000),
        ("PORT", " 4000 ", "port", 4000),
        ("CONSTRUCT_DOORBELL_S", "0.2", "doorbell_s", 0.2),
        ("CONSTRUCT_STALL_S", "90", "stall_s", 90.0),
        ("CONSTRUCT_LIMITS_OFF_CONFIRMED", "yes", "limits_off_confirmed", True),
        ("CONSTRUCT_LIMITS_OFF_CONFIRMED", "NO", "limits_off_confirmed", False),
        ("CONSTRUCT_HOSTS", "a.example, b.example,", "hosts", ["a.example", "b.example"]),
        ("CONSTRUCT_FURTHER_DEDUP_KEYS", "b25l, dHdv", "further_dedup_keys", ["b25l", "dHdv"]),
        ("CONSTRUCT_DATA_DIR", "/srv/construct", "data_dir", Path("/srv/construct")),
        ("DATABASE_URL", "postgres://h/d", "database_url", "postgres://h/d"),
        ("REDIS_URL", "redis://h", "redis_url", "redis://h"),
        ("HOST", "::1", "host", "::1"),
    ],
)
def test_a_variable_is_read_as_the_type_of_its_field(
    variable: str, text: str, name: str, value: object
) -> None:
    read = getattr(load({variable: text}), name)
    assert read == value
    assert type(read) is type(value)


def test_every_field_has_a_variable_of_its_own_and_a_line_of_prose() -> None:
    variables = [env.variable(each.name) for each in dataclasses.fields(Config)]
    assert len(set(variables)) == len(variables)
    assert all(text.endswith(".") for _, _, text in env.table())
    assert len(env.table()) == len(variables)


def test_an_unknown_construct_name_is_refused_and_named() -> None:
    with pytest.raises(InvalidConfiguration, match=r"unknown configuration: CONSTRUCT_LIMTS$"):
        load({"CONSTRUCT_LIMTS": "hidden-value", "PATH": "/bin"})


def test_all_unknown_names_are_told_at_once() -> None:
    with pytest.raises(InvalidConfiguration, match="CONSTRUCT_A, CONSTRUCT_B"):
        load({"CONSTRUCT_B": "1", "CONSTRUCT_A": "1"})


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_value_of_the_wrong_type_names_the_variable_and_hides_the_value(kind: type) -> None:
    for name in FIELDS_BY_TYPE[kind]:
        variable = env.variable(name)
        with pytest.raises(InvalidConfiguration) as refused:
            load({variable: UNREADABLE[kind]})
        assert variable in str(refused.value)
        assert UNREADABLE[kind] not in str(refused.value)
        assert refused.value.__cause__ is None


@pytest.mark.parametrize("kind", [int, float])
def test_a_negative_number_is_refused(kind: type) -> None:
    for name in FIELDS_BY_TYPE[kind]:
        with pytest.raises(InvalidConfiguration, match=f"{env.variable(name)} must not be negative"):
            load({env.variable(name): "-1"})


@pytest.mark.parametrize("text", ["1.5", "0x10", "1_000", "٣"])
def test_a_whole_number_takes_no_fraction_and_no_other_notation(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match="PORT"):
        load({"PORT": text})


@pytest.mark.parametrize("variable", ["CONSTRUCT_ENVIRONMENT", "CONSTRUCT_LIMITS"])
def test_a_word_outside_its_list_is_refused_without_repeating_it(variable: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        load({variable: "staging"})
    assert variable in str(refused.value)
    assert "staging" not in str(refused.value)


@pytest.mark.parametrize("url", ["mysql://hidden@hidden.example/d", "hidden", "postgis://hidden.example/d"])
def test_another_kind_of_database_is_refused_without_its_address(url: str) -> None:
    with pytest.raises(InvalidConfiguration, match="DATABASE_URL must begin with postgresql://") as refused:
        load({"DATABASE_URL": url})
    assert url.partition(":")[0] not in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_secrets_never_show_in_the_repr() -> None:
    values: dict[str, Any] = {name: f"hidden-{name}" for name in SECRETS}
    for name in ("mailbox_keys", "further_dedup_keys"):
        values[name] = ["hidden-first", "hidden-second"]
    assert {"secret_key", "mailbox_keys", "dedup_key", "further_dedup_keys"} <= set(SECRETS)
    assert {"database_url", "redis_url"} <= set(SECRETS)
    assert "hidden" not in repr(Config(**values))


def test_the_table_has_no_default_for_a_secret() -> None:
    defaults = {variable: default for variable, default, _ in env.table()}
    assert {defaults[env.variable(name)] for name in SECRETS} == {""}
    assert defaults["CONSTRUCT_DATA_DIR"] == "var"


def development(directory: Path, **variables: str) -> Config:
    return load({"CONSTRUCT_ENVIRONMENT": "development", "CONSTRUCT_DATA_DIR": str(directory), **variables})


def test_production_makes_no_keys(tmp_path: Path) -> None:
    config = load({"CONSTRUCT_DATA_DIR": str(tmp_path)})
    assert not config.secret_key
    assert not config.mailbox_keys
    assert not config.dedup_key
    assert not config.further_dedup_keys
    assert list(tmp_path.iterdir()) == []


def test_development_makes_marked_keys_once_for_their_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "var"
    first = development(directory)
    assert development(directory) == first
    assert len(first.secret_key) >= 50
    for key in (*first.mailbox_keys, first.dedup_key):
        raw = base64.b64decode(key, validate=True)
        assert len(raw) == 32
        assert raw.startswith(env.DEVELOPMENT_MARK)
    assert first.secret_key.encode().startswith(env.DEVELOPMENT_MARK)
    assert [file.name for file in directory.iterdir()] == ["development-keys.json"]
    assert stat.S_IMODE((directory / "development-keys.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b"[]", b"\xff", b'{"secret_key": "hidden"}', b'{"secret_key": ["hidden"]}']
)
def test_damaged_development_keys_are_named_and_stay(tmp_path: Path, damaged: bytes) -> None:
    file = tmp_path / "development-keys.json"
    file.write_bytes(damaged)
    with pytest.raises(InvalidConfiguration, match=r"development-keys\.json .* is damaged") as refused:
        development(tmp_path)
    assert "hidden" not in str(refused.value)
    assert refused.value.__suppress_context__
    assert file.read_bytes() == damaged


def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidConfiguration, match="under CONSTRUCT_DATA_DIR can be neither read nor made"):
        development(tmp_path / "file")


def test_two_data_directories_have_different_keys(tmp_path: Path) -> None:
    first, second = development(tmp_path / "first"), development(tmp_path / "second")
    assert first.secret_key != second.secret_key
    assert first.mailbox_keys != second.mailbox_keys
    assert first.dedup_key != second.dedup_key


def test_a_given_key_takes_the_place_of_the_made_one(tmp_path: Path) -> None:
    config = development(tmp_path, CONSTRUCT_SECRET_KEY="given", CONSTRUCT_MAILBOX_KEYS="one,two")
    assert config.secret_key == "given"
    assert config.mailbox_keys == ["one", "two"]
    assert config.dedup_key == json.loads((tmp_path / "development-keys.json").read_text())["dedup_key"]


def test_processes_that_start_together_agree_on_the_keys(tmp_path: Path) -> None:
    program = (
        "import sys; from construct_site.env import load; sys.stdin.read(1);"
        "config = load(); print(config.secret_key, *config.mailbox_keys, config.dedup_key)"
    )
    environment = {"CONSTRUCT_ENVIRONMENT": "development", "CONSTRUCT_DATA_DIR": str(tmp_path / "var")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=env.REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=30)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    assert printed[0].strip()
    assert len(set(printed)) == 1
