"""Commits that a program writes piece by piece, published once or not at all."""
