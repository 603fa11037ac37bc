"""Versions of a set of files: transactions, checkout, references, history."""
