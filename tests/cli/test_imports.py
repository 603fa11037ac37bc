"""What start-up pays for, counted in modules instead of seconds."""

import subprocess
import sys

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
