"""Run a script as if typed at a prompt: each statement, then what it prints.

python show_statements.py SCRIPT
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path


def read_statements(source: str) -> Iterator[tuple[int, str]]:
    """Yield each top-level statement's line number and text, docstring left out."""
    for statement in ast.parse(source).body:
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not is_text:
            yield statement.lineno, ast.get_source_segment(source, statement) or ""


def main(script: Path) -> None:
    """Show and run ``script``."""
    scope = {"__name__": "__main__", "__file__": str(script)}
    dim, plain = ("\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "")
    for line, text in read_statements(script.read_text()):
        for number, shown in enumerate(text.splitlines()):
            print(f"{dim}{'>>>' if number == 0 else '...'}{plain} {shown}", flush=True)
        code = compile("\n" * (line - 1) + text, str(script), "exec")
        exec(code, scope)
        sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
