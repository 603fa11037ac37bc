"""Command line: one file a verb, over client. Formatting and exit codes live here; the work does not."""
