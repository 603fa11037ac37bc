"""Comparing versions: by path with renames, and inside of files by tensor, array or column."""
