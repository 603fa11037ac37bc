"""Measuring ahstore beside physical references and other tools; see docs/benchmarks.md."""
