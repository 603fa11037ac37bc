"""``python -m ahstore``: the command line."""

from __future__ import annotations

from ahstore.cli.main import run

if __name__ == "__main__":
    run()
