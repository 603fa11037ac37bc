from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.errors import AhError, InvalidInputError, NotFoundError
from ahstore.jobs.code.git_source import GitSource, parse_git_source, strip_userinfo

REFUSED = [
    "",
    "-",
    "--upload-pack=touch /tmp/canary",
    "-oProxyCommand=touch /tmp/canary",
    "ext::sh -c 'touch /tmp/canary'",
    "EXT::sh -c id",
    "fd::17",
    "transport::address",
    "::x",
    "http://example.org/repo",
    "git://example.org/repo",
    "ftp://example.org/repo",
    "rsync://example.org/repo",
    "git+ssh://example.org/repo",
    "https://",
    "https:///repo",
    "https://-oProxyCommand=x/repo",
    "ssh://-oProxyCommand=touch%20canary/repo",
    "ssh://-oProxyCommand=x@host/repo",
    "ssh://host:-p/repo",
    "https://host:99999999/repo",
    "https://ho st/repo",
    "https://host%0ahost/repo",
    "https://user:pass%0aword@host/repo",
    "https://example.org/repo\nhost=evil",
    "file://remote.example.org/etc",
    "file://relative",
    "file:///tmp/%0acanary",
    "-x@host:path",
    "user@-oProxyCommand=x:path",
    "host:-path",
    "host:",
    "us er@host:path",
    "a\0b",
    "x" * 5000,
]


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_what_could_run_a_command(text: str, tmp_path: Path) -> None:
    # Prevents that a URL makes git run a program of its writer's choice.
    with pytest.raises((InvalidInputError, NotFoundError)):
        parse_git_source(text, base=str(tmp_path))


@pytest.mark.parametrize(
    ("text", "url", "is_secret"),
    [
        ("https://github.com/user/repo", "https://github.com/user/repo", False),
        ("https://user:pw@github.com/u/r.git", "https://github.com/u/r.git", True),
        ("https://token@github.com:8443/u/r", "https://github.com:8443/u/r", True),
        ("https://github.com/u/r?access_token=x", "https://github.com/u/r", True),
        ("HTTPS://github.com/u/r#frag", "https://github.com/u/r", True),
        ("ssh://git@github.com/u/r", "ssh://git@github.com/u/r", False),
        ("ssh://git:pw@github.com:22/u/r", "ssh://git@github.com:22/u/r", True),
        ("git@github.com:u/r.git", "git@github.com:u/r.git", False),
        ("host.example:r", "host.example:r", False),
        ("https://[::1]:8080/r", "https://[::1]:8080/r", False),
    ],
)
def test_remote_forms_and_their_secrets(
    text: str, url: str, is_secret: bool, tmp_path: Path
) -> None:
    source = parse_git_source(text, base=str(tmp_path))
    assert (source.url, source.is_local) == (url, False)
    assert (source.secret_url == text) is is_secret
    assert "pw" not in repr(source)
    assert "token" not in repr(source)


def test_local_forms(tmp_path: Path) -> None:
    folder = tmp_path / "a repo:x"
    folder.mkdir()
    expected = GitSource(str(folder), is_local=True)
    assert parse_git_source("a repo:x", base=str(tmp_path)) == expected
    assert parse_git_source(str(folder), base="/") == expected
    assert parse_git_source(f"file://{tmp_path}/a%20repo:x", base="/") == expected
    with pytest.raises(NotFoundError, match="no git repository"):
        parse_git_source("missing", base=str(tmp_path))
    with pytest.raises(NotFoundError):
        parse_git_source(f"file://{tmp_path}/missing", base="/")


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for candidate in (text, "https://" + text, "ssh://" + text, "file://" + text, "ext::" + text):
        try:
            source = parse_git_source(candidate, base="/nonexistent")
        except AhError:
            continue
        assert not source.url.startswith("-")
        assert "::" not in source.url.partition("/")[0]


def test_userinfo_is_taken_out_of_messages() -> None:
    text = "fatal: unable to access 'https://user:s3cret@host/r/': no; ssh://x:y@h/z https://h/ok@v"
    clean = strip_userinfo(text)
    assert clean == "fatal: unable to access 'https://host/r/': no; ssh://h/z https://h/ok@v"
