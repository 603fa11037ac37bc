import getpass
import os
from pathlib import Path

import pytest

from ahstore.client.config import (
    Login,
    forget_login,
    load_settings,
    login_path,
    read_login,
    system_user,
    write_login,
)
from ahstore.errors import InvalidInputError, StorageError
from ahstore.names import check_name


def test_without_anything_the_store_is_in_the_users_data_directory(home: Path) -> None:
    settings = load_settings(environ={})
    assert settings.store == str(home / ".local/share/ahstore/store")
    assert settings.cache_dir == str(home / ".cache/ahstore")
    assert settings.runs_dir == str(home / ".local/state/ahstore/runs")
    assert (settings.store_from, settings.user_from) == ("default", "system")


def test_what_goes_before_what(home: Path) -> None:
    write_login(Login("file:///login", "lou"))
    env = {"AH_STORE": "/env", "AH_USER": "eve"}
    given = load_settings(store="/given", user="gus", environ=env)
    assert (given.store, given.user) == ("/given", "gus")
    from_env = load_settings(environ=env)
    assert (from_env.store, from_env.store_from) == ("/env", "AH_STORE")
    assert (from_env.user, from_env.user_from) == ("eve", "AH_USER")
    from_login = load_settings(environ={"AH_STORE": "", "AH_USER": ""})
    assert (from_login.store, from_login.store_from) == ("file:///login", "login")
    assert (from_login.user, from_login.user_from) == ("lou", "login")


def test_a_login_is_remembered_and_forgotten(home: Path) -> None:
    assert read_login() is None
    write_login(Login("file:///a"))
    write_login(Login("file:///b", "lou"))
    assert read_login() == Login("file:///b", "lou")
    assert os.listdir(os.path.dirname(login_path())) == ["login.json"]
    assert forget_login()
    assert not forget_login()
    assert read_login() is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"url": 1}', '{"url": "x", "user": 1}', "\xff"]
)
def test_a_damaged_login_says_what_to_do(home: Path, text: str) -> None:
    path = Path(login_path())
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInputError, match="log in again"):
        load_settings(environ={})
    # Who says the store and the user needs no login, and can log in anew.
    load_settings(store="/x", user="u", environ={})


def test_a_configuration_that_can_not_be_written_is_a_storage_error(home: Path) -> None:
    Path(login_path()).parent.parent.mkdir(parents=True, exist_ok=True)
    Path(login_path()).parent.write_text("a file in the way")
    with pytest.raises(StorageError, match=r"login\.json"):
        write_login(Login("file:///a"))


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("jane", "jane"),
        ("DOMAIN\\jane doe", "DOMAIN-jane-doe"),
        ("_www", "www"),
        ("a..b.lock", "a.b"),
        ("李", "user"),
        ("x" * 200, "x" * 128),
    ],
)
def test_any_system_user_has_a_name(
    monkeypatch: pytest.MonkeyPatch, system: str, name: str
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: system)
    assert check_name(system_user()) == name


def test_a_user_without_an_entry_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise KeyError("uid not found")

    # As in a container that runs under an arbitrary uid.
    monkeypatch.setattr(getpass, "getuser", missing)
    assert system_user() == "user"


def test_a_bad_name_in_the_environment_is_refused(home: Path) -> None:
    with pytest.raises(InvalidInputError, match="AH_USER"):
        load_settings(environ={"AH_USER": "a/b"})
