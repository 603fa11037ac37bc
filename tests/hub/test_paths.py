from __future__ import annotations

import subprocess

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ahstore.errors import InvalidInputError
from ahstore.hub.paths import HubPath, check_ref, check_type, parse
from ahstore.names import check_name

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True).filter(
    lambda name: ".." not in name and not name.endswith((".", ".lock")) and name != "HEAD"
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("model/f", HubPath(None, "model", "f")),
        ("dataset/f", HubPath(None, "dataset", "f")),
        ("model/f/a", HubPath(None, "model", "f", "a")),
        ("model/f/a:main", HubPath(None, "model", "f", "a", "main")),
        ("user/model/f", HubPath("user", "model", "f")),
        ("user/dataset/f/a:v1", HubPath("user", "dataset", "f", "a", "v1")),
        ("user/model/f/a:branch/b", HubPath("user", "model", "f", "a", "branch/b")),
        ("model/f/a:tag/v1.0~2^", HubPath(None, "model", "f", "a", "tag/v1.0~2^")),
        ("model/f/a:commit/47a5", HubPath(None, "model", "f", "a", "commit/47a5")),
        ("model/f/a:main@{1}", HubPath(None, "model", "f", "a", "main@{1}")),
        (
            "model/f/a:main@{2024-01-01 10:00:00}",
            HubPath(None, "model", "f", "a", "main@{2024-01-01 10:00:00}"),
        ),
        ("model/model/x", HubPath(None, "model", "model", "x")),
        ("dataset/model/x", HubPath(None, "dataset", "model", "x")),
        ("model/model/f/a", HubPath("model", "model", "f", "a")),
        ("dataset/model/f/a", HubPath("dataset", "model", "f", "a")),
        ("u/model/model/dataset", HubPath("u", "model", "model", "dataset")),
    ],
)
def test_full_paths(text: str, path: HubPath) -> None:
    assert parse(text) == path
    assert parse(text, default_type="dataset") == path
    assert path.format() == text == str(path)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("f", HubPath(None, "dataset", "f")),
        ("f/a", HubPath(None, "dataset", "f", "a")),
        ("f/a:b", HubPath(None, "dataset", "f", "a", "b")),
        ("f/model", HubPath(None, "dataset", "f", "model")),
        ("model/f", HubPath(None, "model", "f")),
        ("u/model/f", HubPath("u", "model", "f")),
    ],
)
def test_the_kind_may_be_left_out_where_it_is_known(text: str, path: HubPath) -> None:
    assert parse(text, default_type="dataset") == path


def test_the_only_kind_is_the_default_and_no_other_will_do() -> None:
    assert parse("f/a", only_type="dataset").type == "dataset"
    assert parse("dataset/f/a", only_type="dataset").type == "dataset"
    with pytest.raises(InvalidInputError, match="it names a model, a dataset is needed"):
        parse("model/f/a", only_type="dataset")


def test_what_is_needed_must_be_there() -> None:
    assert parse("model/f", need="folder").asset is None
    assert parse("model/f/a", need="asset").ref is None
    assert parse("model/f/a:b", need="asset").ref == "b"
    assert parse("model/f/a:b", need="ref").ref == "b"
    with pytest.raises(InvalidInputError, match="a folder is needed"):
        parse("model/f/a", need="folder")
    with pytest.raises(InvalidInputError, match="a model in it is needed"):
        parse("model/f", need="asset")
    with pytest.raises(InvalidInputError, match="a dataset in it is needed"):
        parse("f", need="ref", default_type="dataset")
    with pytest.raises(InvalidInputError, match="names no reference"):
        parse("model/f/a", need="ref")


def test_a_reference_left_out_is_main() -> None:
    assert parse("model/f/a").ref_or_main == "main"
    assert parse("model/f/a:b").ref_or_main == "b"


@pytest.mark.parametrize("text", ["", "Model", "models", "model/", "m\udcff"])
def test_other_types_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="use 'model' or 'dataset'"):
        check_type(text)


HOSTILE_PATHS = [
    "",
    " ",
    "/",
    "//",
    ":",
    "model",
    "model/",
    "/model/f",
    "model//f",
    "model/f/",
    "model/f//a",
    "model/f/a/",
    "model/f/a/b",
    "u/model",
    "u/model/",
    "u/v/model/f",
    "u/model/f/a/b",
    "model/f/a/b/c",
    "f",
    "f/a",
    "f/a/b",
    "model:main",
    "model/f:main",
    "u/model/f:main",
    "model/f/a:",
    "model/f/a:b:c",
    "model/f/a::b",
    ":main",
    "model/:main",
    "model/f/:main",
    "model/../a",
    "model/f/..",
    "../model/f",
    "model/./a",
    "model/f/.",
    "model/.hidden/a",
    "model/f/-rf",
    "-u/model/f",
    "--upload-pack=x/model/f",
    "model/f/a\x00",
    "model/f\x00/a",
    "model/f/a\n",
    "model/f/a\r\n",
    "model/f/a\tb",
    "model/f/a b",
    " model/f/a",
    "model/f/a\\b",
    "model\\f\\a",
    "model/f/a*",
    "model/f/a?",
    "model/f/%2e%2e",
    "model/f/ä",
    "model/f/a\u0301",
    "model/f/\u202etxt",
    "model/f/\udcff",
    "model/f/a.lock",
    "model/f/a.",
    "model/f/a..b",
    "model/f/_a",
    "MODEL/f/a",
    "models/f/a",
    "model/" + "f" * 129,
    "model/f/" + "a" * 129,
    "u" * 129 + "/model/f",
    "model/f/a:" + "b" * 129,
    "a/" * 100_000,
    "model/f/a:" + "~1" * 100_000,
    "file:///model/f/a",
    "s3://bucket/model",
    "https://host/model/f/a:main",
    "model/f/$(id)",
    "model/f/`id`",
    "model/f/a;b",
    "~/model/f",
    "@/model/f",
]


@pytest.mark.parametrize("text", HOSTILE_PATHS)
def test_hostile_paths_are_refused_with_a_short_message(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("invalid ")
    assert len(message) < 700
    message.encode("utf-8")
    assert "\n" not in message


HOSTILE_REFS = [
    "",
    " ",
    ".",
    "..",
    ".a",
    "a.",
    "a..b",
    "a.lock",
    "-",
    "-a",
    "--help",
    "--upload-pack=x",
    "a b",
    "a\tb",
    "a\nb",
    "a\n",
    "a\x00b",
    "a\x7f",
    "a\x1b[31m",
    "a~b",
    "~",
    "~1",
    "^",
    "^a",
    "a^b",
    "a:b",
    "a?",
    "a*",
    "a[b",
    "[",
    "a\\b",
    "\\",
    "@",
    "@{",
    "@{1}",
    "a@{",
    "a@{}",
    "a@{1",
    "a@{{1}}",
    "a@{1}b",
    "a@1",
    "a//b",
    "/a",
    "a/",
    "a/b",
    "a/.b",
    "a/b.lock",
    "refs/heads/a",
    "branch/",
    "branch//a",
    "branch/-a",
    "branch/a/b",
    "branch/tag/a",
    "heads/a",
    "tag/.a",
    "tag/a.lock",
    "commit/..",
    "commit/a..b",
    "HEAD",
    "branch/HEAD",
    "FETCH_HEAD.lock",
    "a{b}",
    "a..",
    "...",
    "a...b",
    "ä",
    "a\u200b",
    "\udcff",
    "a" * 129,
    "a" * 5000,
    "a~1234567890",
    "a~-1",
    "a~1.5",
    "%2e%2e",
    "$(id)",
    "a;b",
    "a|b",
    "a&b",
    "'a'",
    '"a"',
    "!a",
    "#a",
]


@pytest.mark.parametrize("text", HOSTILE_REFS)
def test_hostile_references_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_ref(text)
    assert len(str(caught.value)) < 700
    str(caught.value).encode("utf-8")
    with pytest.raises(InvalidInputError):
        parse(f"model/f/a:{text}")


def git_allows(name: str) -> bool:
    """Whether git takes the name for a branch and for a tag."""
    commands = (["--branch", name], [f"refs/heads/{name}"], [f"refs/tags/{name}"])
    return all(
        subprocess.run(["git", "check-ref-format", *arguments], capture_output=True).returncode == 0
        for arguments in commands
    )


@pytest.mark.parametrize("name", [name for name in HOSTILE_REFS if "\x00" not in name])
def test_what_git_refuses_is_no_name(name: str) -> None:
    # A name that git refuses could not leave the store as a git ref, and may be an option or a
    # revision expression to some tool on the way.
    assume_encodable = name.encode("utf-8", "surrogateescape")
    if not git_allows(assume_encodable.decode("utf-8", "surrogateescape")):
        with pytest.raises(InvalidInputError):
            check_ref(name)


@given(st.text(st.characters(codec="ascii"), min_size=1, max_size=12))
@example("a.lock")
@example("HEAD")
@example("a.LOCK")
@example("a@{1}")
def test_every_plain_reference_that_is_accepted_is_one_for_git(text: str) -> None:
    try:
        check_ref(text)
        check_name(text)
    except InvalidInputError:
        return
    assert git_allows(text)


@given(NAMES)
def test_accepted_names_are_names_for_git(name: str) -> None:
    check_ref(name)
    assert git_allows(name)


@given(
    st.one_of(st.none(), NAMES),
    st.sampled_from(["model", "dataset"]),
    NAMES,
    st.one_of(st.none(), NAMES),
    st.one_of(st.none(), NAMES),
    st.sampled_from(["", "branch/", "tag/", "commit/"]),
    st.lists(st.sampled_from(["~", "~3", "^", "^2", "@{1}", "@{yesterday}"]), max_size=3),
)
def test_paths_format_and_parse_back(
    owner: str | None,
    type_: str,
    folder: str,
    asset: str | None,
    ref: str | None,
    kind: str,
    walks: list[str],
) -> None:
    assume(owner not in ("model", "dataset") or asset is not None)
    text = None if ref is None or asset is None else kind + ref + "".join(walks)
    path = HubPath(owner, check_type(type_), folder, asset, text)
    assume(owner is not None or folder not in ("model", "dataset") or asset is not None)
    assert parse(path.format()) == path


@given(st.text(max_size=60), st.sampled_from([None, "model", "dataset"]))
def test_any_text_gives_a_path_or_the_typed_error(text: str, default_type: str | None) -> None:
    try:
        path = parse(text, default_type=default_type)
    except InvalidInputError as error:
        str(error).encode("utf-8")
    else:
        assert parse(path.format()) == path
