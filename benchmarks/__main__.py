"""``python -m benchmarks``: ahstore beside physical references; results/latest.md and .json."""

from __future__ import annotations

from benchmarks.command import measure, parser

if __name__ == "__main__":
    measure(parser(__doc__).parse_args(), name="latest")
