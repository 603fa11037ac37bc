"""A commit back to a folder: what is selected, where it goes, and the writers of small and large files."""
