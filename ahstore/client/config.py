"""Which store and which user: what was asked for, else the environment, else the login, else a default.

The only module that knows the environment (``AH_STORE``, ``AH_USER``, ``AH_CACHE_SIZE``) and the user's folders. The
login file holds a store's URL and perhaps a user name, never a secret.
"""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from ahstore.errors import InvalidInputError, StorageError
from ahstore.names import MAX_NAME_LENGTH, check_name

APP = "ahstore"
FALLBACK_USER = "user"


@dataclass(frozen=True, slots=True)
class Login:
    """What ``ah login`` remembered."""

    url: str
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The store and user in force, each with the place it came from, and where caches and runs go."""

    store: str
    store_from: str
    user: str
    user_from: str
    cache_dir: str
    runs_dir: str
    cache_size: int | None = None
    """Most bytes kept of a store far away; None: a default."""


def load_settings(
    *,
    store: str | None = None,
    user: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return what is in force; ``store`` and ``user`` given by the caller go before everything.

    Raises:
        InvalidInputError: the user's name is malformed, or the login file can't be read.
    """
    from platformdirs import user_cache_dir, user_state_dir  # start-up: most imports never ask

    env = os.environ if environ is None else environ
    needs_login = not (store or env.get("AH_STORE")) or not (user or env.get("AH_USER"))
    login = read_login() if needs_login else None
    url, url_from = _choose_store(store, env, login)
    name, name_from = _choose_user(user, env, login)
    return Settings(
        store=url,
        store_from=url_from,
        user=name,
        user_from=name_from,
        cache_dir=user_cache_dir(APP),
        runs_dir=os.path.join(user_state_dir(APP), "runs"),
        cache_size=_cache_size(env.get("AH_CACHE_SIZE")),
    )


def _cache_size(text: str | None) -> int | None:
    if not text:
        return None
    if text == "0":
        return 0
    from ahstore.hub.sizes import parse_size  # start-up: hardly anybody says so

    try:
        return parse_size(text)
    except InvalidInputError as error:
        raise InvalidInputError(f"AH_CACHE_SIZE: {error}") from None


def _choose_store(
    asked: str | None, env: Mapping[str, str], login: Login | None
) -> tuple[str, str]:
    if asked:
        return asked, "--store"
    if env.get("AH_STORE"):
        return env["AH_STORE"], "AH_STORE"
    if login is not None:
        return login.url, "login"
    from platformdirs import user_data_dir  # start-up, as above

    return os.path.join(user_data_dir(APP), "store"), "default"


def _choose_user(asked: str | None, env: Mapping[str, str], login: Login | None) -> tuple[str, str]:
    if asked:
        return check_name(asked, what="user name"), "argument"
    if env.get("AH_USER"):
        return check_name(env["AH_USER"], what="user name in AH_USER"), "AH_USER"
    if login is not None and login.user:
        return check_name(login.user, what="user name in the login file"), "login"
    return system_user(), "system"


def system_user() -> str:
    """Return the operating system's name of the user, made to fit the grammar of names."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no entry for this uid, as in some containers
        return FALLBACK_USER
    name = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:MAX_NAME_LENGTH]
    name = re.sub(r"\.\.+", ".", name).lstrip("._-")
    while name.endswith((".", ".lock")):
        name = name.rstrip(".").removesuffix(".lock")
    return name or FALLBACK_USER


def login_path() -> str:
    """Return where the login is remembered."""
    from platformdirs import user_config_dir  # start-up, as above

    return os.path.join(user_config_dir(APP), "login.json")


def read_login() -> Login | None:
    """Return the remembered login, None when there is none.

    Raises:
        InvalidInputError: the file is damaged.
    """
    path = login_path()
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
        user = value.get("user")
        if not isinstance(value["url"], str) or not isinstance(user, str | None):
            raise TypeError
        return Login(value["url"], user)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"can't read {path}: {error.strerror}", path=path) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInputError(
            f"the login file {path} is damaged: log in again with 'ah login URL', or delete it",
            path=path,
        ) from None


def write_login(login: Login) -> None:
    """Remember a login in place of the one before.

    Raises:
        StorageError: the user's configuration folder can't be written.
    """
    path = login_path()
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"url": login.url, "user": login.user}, file, indent=2)
            file.write("\n")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise StorageError(f"can't write {path}: {error.strerror}", path=path) from None


def forget_login() -> bool:
    """Forget the login; say whether there was one.

    Raises:
        StorageError: the file can't be removed.
    """
    path = login_path()
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"can't remove {path}: {error.strerror}", path=path) from None
    return True
