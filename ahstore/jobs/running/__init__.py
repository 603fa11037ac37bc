"""Carrying out one run: the supervisor, its user process, and what is published of it."""
