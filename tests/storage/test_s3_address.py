"""URLs of stores in S3: one spelling, an allow-list, no secrets; and nothing secret anywhere."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from ahstore.client.store import Store
from ahstore.errors import AhError, InvalidInputError, StorageError, UnsupportedError
from ahstore.storage.open import open_storage
from ahstore.storage.s3.address import S3Address
from ahstore.testing.s3_servers import S3Server, plain_client

CANARY = "c4n4ry-s3cret-0123456789"


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3a://bucket/a", "s3://bucket/a"),
        ("S3://bucket/a?region=eu-west-1", "s3://bucket/a?region=eu-west-1"),
        (
            "s3://bucket/a?region=x&endpoint_url=http%3A%2F%2Fhost%3A9000%2F",
            "s3://bucket/a?endpoint_url=http://host:9000&region=x",
        ),
        ("s3://bucket/a%20b/ü", "s3://bucket/a%20b/%C3%BC"),
        ("s3://bucket/a?anon=false&writers=many&addressing_style=auto", "s3://bucket/a"),
        ("s3://bucket?profile=work&anon=true", "s3://bucket?anon=true&profile=work"),
    ],
)
def test_one_spelling(url: str, canonical: str) -> None:
    assert S3Address.parse(url).url == canonical
    assert S3Address.parse(canonical).url == canonical


def test_the_server_is_part_of_the_address() -> None:
    # Two servers under one URL would share one cache.
    plain = S3Address.parse("s3://bucket/p", {"endpoint_url": "http://one:1/"})
    nested = S3Address.parse("s3://bucket/p", {"client_kwargs": {"endpoint_url": "http://one:1"}})
    assert plain.url == nested.url == "s3://bucket/p?endpoint_url=http://one:1"
    assert (
        S3Address.parse("s3://bucket/p").with_endpoint("http://two:2").url.endswith("http://two:2")
    )
    assert S3Address.parse("s3://bucket/p?endpoint_url=http://one:1").with_endpoint(
        "http://x"
    ).url == ("s3://bucket/p?endpoint_url=http://one:1")


def test_the_environment_s_server_is_part_of_the_url(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_environment.endpoint)
    with open_storage(f"s3://{s3_environment.bucket}/x") as storage:
        assert storage.url == s3_environment.url("x")
        assert storage.location("packs/a") == f"s3://{s3_environment.bucket}/x/packs/a"
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    with open_storage(f"s3://{s3_environment.bucket}/x") as storage:
        assert storage.url == f"s3://{s3_environment.bucket}/x"


@pytest.mark.parametrize(
    "url",
    [
        *("s3://", "s3:///a", "s3://b", "s3://-bucket", "s3://buc ket", "s3://bucket:80/a"),
        *("s3://bucket/a//b", "s3://bucket/../b", "s3://bucket/./b", "s3://bucket/a%0ab"),
        *("s3://bucket/%ff", "s3://bucket/a%5cb", "s3://bucket/" + "a" * 401, "s3://bucket#x"),
        *("s3://bucket?region", "s3://bucket?region=", "s3://bucket?region=a&region=b"),
        *("s3://bucket?nonsense=1", "s3://bucket?anon=yes", "s3://bucket?writers=two"),
        *("s3://bucket?endpoint_url=ftp://x", "s3://bucket?endpoint_url=x", "s3://[bucket"),
        *("s3://bucket?endpoint_url=http://h?a=b", "s3://bucket?addressing_style=odd"),
    ],
)
def test_malformed(url: str) -> None:
    with pytest.raises(InvalidInputError):
        open_storage(url)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://user:{CANARY}@bucket/a",
        f"s3://{CANARY}@bucket/a",
        f"s3://bucket/a?secret={CANARY}",
        f"s3://bucket/a?key={CANARY}",
        f"s3://bucket/a?aws_secret_access_key={CANARY}",
        f"s3://bucket/a?aws_session_token={CANARY}",
        f"s3://bucket/a?password={CANARY}",
        f"s3://bucket/a?X-Amz-Signature={CANARY}",
        f"s3://bucket/a?endpoint_url=http://user:{CANARY}@host",
        f"s3://bucket/a?endpoint_url=http://{CANARY}@host",
        f"s3://bucket/a#{CANARY}",
        f"s3://bucket/\0{CANARY}",
        f"gs://user:{CANARY}@bucket",
    ],
)
def test_secrets_in_a_url_are_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    # URLs end up in shell histories, records and logs.
    for how in (open_storage, lambda url: Store.open(url, cache_dir=tmp_path)):
        with pytest.raises((InvalidInputError, UnsupportedError)) as caught:
            how(url)
        error: AhError = caught.value
        assert CANARY not in f"{error!s} {error!r} {error.details}"


def everything(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


WAYS = ["options", "environment", "profile"]


def give(
    way: str, server: S3Server, token: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, object] | None:
    """Give credentials in one of the ways; return the storage options."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    if way == "options":
        return {"key": server.access_key, "secret": server.secret_key, "token": token}
    names = {
        "aws_access_key_id": server.access_key,
        "aws_secret_access_key": server.secret_key,
        "aws_session_token": token,
    }
    given = {name: value for name, value in names.items() if value is not None}
    if way == "environment":
        for name, value in given.items():
            monkeypatch.setenv(name.upper(), value)
        return None
    file = folder / "credentials"
    file.write_text("\n".join(["[work]", *(f"{name}={value}" for name, value in given.items())]))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    return None


@pytest.mark.parametrize("way", WAYS)
def test_secrets_are_found_nowhere(
    way: str,
    s3_environment: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server = s3_environment
    caplog.set_level(logging.DEBUG)
    url = server.url(f"secret-{way}")
    options = give(way, server, None, tmp_path, monkeypatch)
    said: list[str] = []
    cache = tmp_path / "cache"
    with Store.open(
        url if way != "profile" else url + "&profile=work",
        cache_dir=cache,
        storage_options=options,
        notify=said.append,
        user="me",
    ) as store:
        store.create("model/f")
        model = store.create("model/f/a")
        (tmp_path / "x").write_text("x")
        store.commit("model/f/a", "one", add=[f"{tmp_path}/x"])
        storage = store.core.repo.storage
        at_the_server = getattr(storage, "inner", storage)  # below the cache
        shown = [store.url, repr(store), repr(storage), repr(model), repr(at_the_server.address)]
        shown += [repr(store.list("model/f/a")), repr(store.get("model/f/a:main").list_commit())]
    printed = capfd.readouterr()
    text = "\n".join([*said, *shown, caplog.text, printed.out, printed.err])
    assert "botocore" in caplog.text  # else nothing was looked at
    assert server.secret_key not in text
    assert server.secret_key.encode() not in everything(cache)
    client = plain_client(server)
    for entry in client.list_objects_v2(Bucket=server.bucket, Prefix=f"secret-{way}/")["Contents"]:
        body = client.get_object(Bucket=server.bucket, Key=entry["Key"])["Body"].read()
        assert server.secret_key.encode() not in body


@pytest.mark.parametrize("way", WAYS)
def test_a_token_is_not_logged(
    way: str,
    s3_environment: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # At DEBUG, botocore writes out every header, a session's token among them.
    server = s3_environment
    caplog.set_level(logging.DEBUG)
    options = give(way, server, CANARY, tmp_path, monkeypatch)
    url = server.url("token") + ("&profile=work" if way == "profile" else "")
    with (
        open_storage(url, storage_options=options) as storage,
        pytest.raises(StorageError) as caught,
    ):
        storage.read("store.json")  # the server knows no tokens
    assert "x-amz-security-token" in caplog.text  # else nothing was looked at
    assert CANARY not in caplog.text
    error = caught.value
    assert CANARY not in f"{error!s} {error!r} {error.details} {error.__cause__!r}"


def test_without_s3fs_it_says_what_to_install() -> None:
    program = """
import sys
sys.modules["s3fs"] = None
from ahstore.errors import UnsupportedError
from ahstore.storage.open import open_storage
try:
    open_storage("s3://bucket/x")
except UnsupportedError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert "pip install 'ahstore[s3]'" in done.stdout, done.stderr
