"""What is malformed is refused in one line that names it, and the store is as it was before."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ahstore.cli.main import main
from tests.cli.conftest import Ah, content_of, fill, move_in

RUN = "-d img/digits -v 1Mi -r . -i main"
USAGE = [
    "comit",
    "--nonsense",
    "--store= ls",
    "ls --nonsense",
    "ls object",
    "ls folder neither",
    "ls model/../x",
    "ls model/img --branch",
    "ls object img/digits:-x",
    "ls commit img/digits -n many",
    "create",
    "create folder",
    "create folder img",
    "create folder model",
    "create folder model/img/net",
    "create folder model/.hidden",
    "create folder model/a..b",
    "create folder model/x -l ",
    "create folder other/model/x",
    "create model",
    "create model img/net:v1",
    "create model dataset/img/x",
    "create model a/b/c/d",
    "create branch img/net",
    "create branch img/net:x.lock",
    "create branch img/net:tag/x",
    "create tag img/net:t1",
    "create evaluation img/net:main -d img/digits",
    "create evaluation img/net:main -d img/digits -m loss",
    "create evaluation img/net:main -d img/digits -m loss=1 -m loss=2",
    "create evaluation dataset/img/digits:main -d img/digits -m loss=1",
    "create evaluation img/net:main -d model/img/net -m loss=1",
    "create model/img/net --tag",
    "commit",
    "commit dataset/img/digits -a a.txt",
    "commit dataset/img/digits -m x",
    "commit dataset/img/digits -m  -a a.txt",
    "commit dataset/img -m x -a a.txt",
    "commit dataset/img/digits -m x -a a.txt:../x",
    "commit dataset/img/digits -m x -a a.txt:/x",
    "commit dataset/img/digits -m x -a a.txt:sub/b.txt/c",
    "commit dataset/img/digits -m x -a :x",
    "commit dataset/img/digits -m x -d ../x",
    "commit dataset/img/digits:TAG -m x -a a.txt:new",
    "status img/digits",
    "cat img/digits",
    "cat img/digits ../x",
    "diff img/digits:main",
    "merge img/digits:main",
    "merge img/digits:main --strategy ours",
    "update img/net",
    "update img/net -l a --no-labels",
    "update img/net -n a/b",
    "update img/digits:main -n x",
    "delete",
    "delete evaluation nonsense",
    "delete img/digits:main~1",
    "delete branch img/digits:TAG",
    "train img/net",
    f"train img/net -b x {RUN} -v 100Mib",
    f"train img/net -b x {RUN} -p nonsense",
    f"train img/net -b x/y {RUN}",
    f"train dataset/img/digits -b x {RUN}",
    f"train img/net -b x {RUN} --timeout 0",
    f"train img/net -b x {RUN} -r ext::sh",
    f"train img/net -b x {RUN} -r --upload-pack=touch",
    f"train img/net -b x {RUN} -i --output=x",
    f"train img/net -b x {RUN} -s ../x",
    f"evaluate dataset/img/digits:main {RUN}",
    "--store s3://bucket/prefix?secret=x ls",
    "completion tcsh",
]
FAILED = [
    "--store http://example.org ls",
    "--store nowhere ls",
    "ls model/nope",
    "ls nope/nope",
    "ls other/model/img",
    "ls img/digits:nope",
    "ls img/digits:main~9",
    "ls evaluation img/nope",
    "show img/digits:beef",
    "show workflow nope",
    "show evaluation 00000000-0000-4000-8000-000000000000",
    "create model nope/x",
    "create model img/net",
    "create folder model/img",
    "create branch img/net:main",
    "create branch img/nope:v1",
    "create branch img/digits:TAG",
    "create branch img/net:v1 --source nope",
    "create evaluation img/net:nope -d img/digits -m x=1",
    "create evaluation img/net:main -d img/nope -m x=1",
    "commit dataset/img/nope -m x -a a.txt",
    "commit dataset/img/digits:nope -m x -a a.txt",
    "commit dataset/img/digits -m x -a nope",
    "commit dataset/img/digits -m x -a a.txt:z --expect beef",
    "status img/digits nope",
    "download img/digits -o nope -s out",
    "download img/digits -s a.txt",
    "cat img/digits nope",
    "diff img/digits:main nope",
    "merge img/digits:nope",
    "merge img/digits:TAG --into nope",
    "reset img/digits nope",
    "update model/nope -n x",
    "delete folder model/img",
    "delete model img/nope",
    "delete img/digits:nope",
    "delete evaluation 00000000-0000-4000-8000-000000000000",
    "delete workflow nope",
    "logs nope",
    "wait nope",
    "stop nope",
    f"train img/nope -b x {RUN}",
    f"train img/net -b x {RUN} -r nowhere",
    f"train img/net -b x {RUN} -d img/nope",
    f"train img/net -b x {RUN} -c img/net:nope",
    f"evaluate img/net:nope {RUN}",
    "login /dev/null/x",
]


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store that all refusals share, since none of them may change it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        home = tmp_path_factory.mktemp("home")
        move_in(home, monkeypatch)
        fill()
        assert main(["-q", "create", "tag", "img/digits:TAG", "--source", "main"]) == 0
        yield home / "store"


def refused(store: Path, capfd: pytest.CaptureFixture[str], command: str, code: int) -> None:
    before = content_of(store)
    capfd.readouterr()
    assert main(command.split(" ")) == code
    out, err = capfd.readouterr()
    assert out == ""
    # One message, whatever was said before; help for who gave no arguments at all.
    if not err.startswith("Usage: "):
        assert err.count("AH ERROR: ") == 1
        assert "Traceback" not in err
        assert "bug" not in err
    assert content_of(store) == before


@pytest.mark.parametrize("command", USAGE)
def test_wrong_usage(unchanged: Path, capfd: pytest.CaptureFixture[str], command: str) -> None:
    refused(unchanged, capfd, command, 2)


@pytest.mark.parametrize("command", FAILED)
def test_what_is_not_there_or_there_already(
    unchanged: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    refused(unchanged, capfd, command, 1)


def test_a_size_is_refused_with_advice(digits: Ah) -> None:
    result = digits("train", "img/net", "-b", "x", *RUN.split(), "-v", "100Mib")
    assert "did you mean 100Mi?" in result.err


def test_a_bad_path_makes_no_store(ah: Ah, home: Path) -> None:
    for command in ("folder bad!", "folder model/.x", "model nope/x", "nope/x", "model/"):
        assert ah("create", *command.split()).code in (1, 2)
    assert ah("ls").code == 1
    assert not (home / "store").exists()


def test_a_bad_user_name_is_named(digits: Ah, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AH_USER", "a b")
    result = digits("ls")
    assert result.code == 2
    assert "AH_USER" in result.err
