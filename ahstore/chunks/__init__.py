"""Cutting bytes into chunks by content."""
