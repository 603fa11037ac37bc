"""What start-up pays for, counted in modules instead of seconds."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"lmdb", "msgpack", "rich", "fsspec", "xxhash", "platformdirs", "pyfastcdc", "json"}


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys; sys.stderr.write('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.splitlines())


def own(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] == "ahstore"}


def test_import_ahstore_brings_in_nothing_else() -> None:
    modules = modules_after("import ahstore; ahstore.__version__; dir(ahstore)")
    assert own(modules) == {"ahstore", "ahstore._version"}
    assert not modules & (HEAVY | {"click"})


def test_help_brings_in_click_and_the_table_of_commands_only() -> None:
    modules = modules_after("from ahstore.cli.main import main; assert main(['--help']) == 0")
    assert own(modules) == {
        "ahstore",
        "ahstore._version",
        "ahstore.cli",
        "ahstore.cli.exit_codes",
        "ahstore.cli.lazy",
        "ahstore.cli.main",
        "ahstore.cli.session",
        "ahstore.cli.table",
        "ahstore.errors",
    }
    assert not modules & HEAVY


def test_help_of_a_command_does_not_bring_in_the_store() -> None:
    for command in ("commit", "ls object", "train", "show"):
        arguments = [*command.split(), "--help"]
        modules = modules_after(f"from ahstore.cli.main import main; main({arguments})")
        assert not modules & (HEAVY - {"json"}), command
        assert "ahstore.client.store" not in modules, command


def test_a_listing_does_without_rich_and_the_runs(tmp_path: object) -> None:
    code = (
        "from ahstore.cli.main import main\n"
        f"store = {str(tmp_path)!r} + '/store'\n"
        "assert main(['--store', store, '-q', 'create', 'model/x']) == 0\n"
        "assert main(['--store', store, 'ls']) == 0\n"
    )
    modules = modules_after(code)
    assert not modules & {"rich", "fsspec", "subprocess", "multiprocessing", "pyfastcdc"}
    assert "ahstore.jobs.jobs" not in modules


def test_all_public_names_are_there_and_are_those_of_the_api() -> None:
    code = (
        "import ahstore\n"
        "from ahstore import api\n"
        "assert ahstore.__all__ == ['__version__', *api.__all__]\n"
        "for name in api.__all__: assert getattr(ahstore, name) is getattr(api, name)\n"
        "try:\n    ahstore.nothing\n"
        "except AttributeError as error: assert 'nothing' in str(error)\n"
        "else: raise AssertionError\n"
    )
    modules_after(code)


THIRD_PARTY = {
    "--help": {"click"},
    "ls": {"click", "lmdb", "msgpack", "platformdirs", "xxhash"},
    "status": {"click", "lmdb", "msgpack", "platformdirs", "xxhash"},
    "commit": {
        "click",
        "cython_runtime",
        "lmdb",
        "msgpack",
        "platformdirs",
        "pyfastcdc",
        "typing_extensions",
        "xxhash",
    },
}
MOST_MODULES = {"--help": 130, "ls": 310, "status": 320, "commit": 340}
"""With Python's own and ours: each costs about a quarter of a millisecond."""
NOT_FOR_THESE = {
    "asyncio",
    "concurrent",
    "email",
    "http",
    "importlib.metadata",
    "logging",
    "multiprocessing",
    "socket",
    "ssl",
    "subprocess",
    "unittest",
    "ahstore.jobs",
    "ahstore.versions.restoring.checkout",
    "ahstore.versions.restoring.restorer",
}


def imported_by(arguments: list[str]) -> set[str]:
    """Return what one run of the command line imports beyond what Python starts with."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from ahstore.cli.main import main\n"
        f"assert main({arguments}) == 0\n"
        "sys.stderr.write('\\nIMPORTED\\n' + '\\n'.join(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.partition("\nIMPORTED\n")[2].split())


def test_what_each_verb_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start-up is most of a short command's time: nothing may slip in unseen."""
    monkeypatch.setenv("AH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "files"
    folder.mkdir()
    for at in range(20):
        (folder / f"f{at}").write_bytes(random.Random(at).randbytes(4096))
        os.utime(folder / f"f{at}", (10**9, 10**9))
    modules_after(
        "from ahstore.cli.main import main\n"
        "assert main(['-q', 'create', 'folder', 'dataset/d']) == 0\n"
        "assert main(['-q', 'create', 'dataset', 'd/d']) == 0\n"
    )
    commands = {
        "--help": ["--help"],
        "commit": ["-q", "commit", "dataset/d/d", "-m", "x", "-a", f"{folder}/*"],
        "status": ["-q", "status", "dataset/d/d", f"{folder}/*"],
        "ls": ["ls", "object", "dataset/d/d"],
    }
    for verb, arguments in commands.items():
        modules = imported_by(arguments)
        top = {name.partition(".")[0] for name in modules}
        outside = {name for name in top if name not in sys.stdlib_module_names}
        outside = {
            name for name in outside - {"ahstore", "cython_runtime"} if not name.startswith("_")
        }
        assert outside <= THIRD_PARTY[verb], verb
        assert not modules & NOT_FOR_THESE, verb
        assert len(modules) <= MOST_MODULES[verb], (verb, len(modules), sorted(modules))
