"""What the pages say of the code is true: floors, commands, exit statuses."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ahstore import api
from ahstore.cli import exit_codes
from ahstore.cli.main import SECTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"


def test_the_table_of_floors_is_the_order_of_imports() -> None:
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(each["layers"] for each in contracts["contracts"] if each["id"] == "floors")
    floors = [name for layer in reversed(layers) for name in layer.split(" | ")]
    table = (DOCS / "architecture.md").read_text().partition("| floor |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    told = [name for row in rows for name in re.findall(r"`(\w+)(?:/|\.py)?`", row)]
    assert told == floors


def test_the_table_of_exit_statuses_is_that_of_the_code() -> None:
    table = (DOCS / "reference" / "errors.md").read_text().partition("| status |")[2]
    told = {int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    values = {value for name, value in vars(exit_codes).items() if name.isupper()}
    assert told == values


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_line_page_has_every_command_and_option(hooks: ModuleType) -> None:
    page = list(hooks.cli_page())
    headings = {line.lstrip("# ") for line in page if line.startswith("##")}
    for commands in SECTIONS.values():
        for name in commands:
            assert f"ah {name}" in headings
    train = "\n".join(page).partition("### ah train\n")[2].partition("\n### ")[0]
    for option in ("--branch", "--dataset", "--volume", "--git-repo", "--checkpoint", "--wait"):
        assert option in train


def test_links_between_pages_lead_somewhere() -> None:
    # mkdocs checks its own pages; the README and the examples it does not see.
    for page in (PROJECT / "README.md", PROJECT / "CHANGELOG.md", *PROJECT.glob("examples/*/*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_python_page_has_every_call() -> None:
    page = (DOCS / "reference" / "python.md").read_text()
    told = set(re.search(r"members: \[(.*)\]", page)[1].split(", "))
    calls = {name for name in api.__all__ if inspect.isfunction(getattr(api, name))}
    assert told == calls
