"""Where a blob lies, and what files on disk hashed to: caches in LMDB that can be rebuilt."""
