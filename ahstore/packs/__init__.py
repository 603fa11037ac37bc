"""Packs: many blobs in one write-once file with an index at its end."""
