"""Commits in relation to each other: log, closure, diff, merge, reset."""
