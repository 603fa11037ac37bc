"""git, and git with git-lfs: one repository for each workload, beside the data."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.tool import Tool, quoted
from benchmarks.workloads import Data

# No packing in the background: it would run while the next tool is timed.
_CONFIG = {
    "user.name": "bench",
    "user.email": "bench@localhost",
    "gc.auto": "0",
    "advice.detachedHead": "false",
}


def find_git() -> bool:
    """Say whether git is installed."""
    return shutil.which("git") is not None


def find_git_lfs() -> bool:
    """Say whether git-lfs is installed."""
    return find_git() and shutil.which("git-lfs") is not None


def git(folder: Path, data: Data) -> Tool:
    """Make git as it comes."""
    return _tool("git", folder, data)


def git_lfs(folder: Path, data: Data) -> Tool:
    """Make git-lfs: every ``.bin`` is a pointer; W9 is left out, it takes minutes."""
    tool = _tool("git-lfs", folder, data)
    lines = {row: line for row, line in tool.lines.items() if row not in ("W9", "W9b")}
    lines["W7"] = f"{_git(folder, 'many')} lfs ls-files -l -s"
    attributes = "*.bin filter=lfs diff=lfs merge=lfs -text"
    more = []
    for name in ("many", "cold", "large"):
        git_dir = folder / "store" / name
        more.append(f"{_git(folder, name)} lfs install --local --skip-repo")
        more.append(
            f"mkdir -p {quoted(git_dir / 'info')} && echo '{attributes}' > {quoted(git_dir / 'info/attributes')}"
        )
    return Tool(
        tool.name, folder, lines, stored=tool.stored, set_up=[*tool.set_up, *more], env=tool.env
    )


def _git(folder: Path, name: str, work: Path | None = None) -> str:
    words = ["git", f"--git-dir={folder / 'store' / name}"]
    return quoted(*words, *([f"--work-tree={work}"] if work else []))


def _tool(name: str, folder: Path, data: Data) -> Tool:
    def commit(row: str, repository: str, work: Path) -> str:
        program = _git(folder, repository, work)
        return f"{program} add -A && {program} commit -qm {row}"

    def restore(repository: str, out: str) -> str:
        # With an index of its own: the other one knows the files that were committed.
        program = _git(folder, repository, folder / out)
        return f"mkdir {out} && cd {out} && GIT_INDEX_FILE=../{out}.index {program} checkout -q HEAD -- ."

    config = [f"git config --global {quoted(key, value)}" for key, value in _CONFIG.items()]
    made = [
        f"git init -q --bare {quoted(folder / 'store' / each)}"
        for each in ("many", "cold", "large", "tiny")
    ]
    unbare = [
        f"{_git(folder, each)} config core.bare false" for each in ("many", "cold", "large", "tiny")
    ]
    return Tool(
        name=name,
        folder=folder,
        stored=folder / "store",
        set_up=[*config, *made, *unbare],
        lines={
            "help": "git --help",
            "W1": commit("W1", "many", data.many),
            "W1c": commit("W1", "cold", data.many),
            "W2": commit("W2", "large", data.before),
            "W3": commit("W3", "large", data.after),
            "W4": commit("W4", "many", data.many),
            "W5": f"{_git(folder, 'many', data.many)} status --porcelain",
            "W5c": f"{_git(folder, 'many', data.many)} status --porcelain",
            "W6": restore("many", "out"),
            "W6b": restore("large", "outbig"),
            "W7": f"{_git(folder, 'many')} ls-tree -r -l HEAD",
            "W8": f"{_git(folder, 'many')} branch dev",
            "W9": commit("W9", "tiny", data.tiny),
            "W9b": commit("W9b", "tiny", data.tiny),
        },
        env={"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"},
    )
