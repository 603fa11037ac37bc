"""What files of known formats say of their own parts, so that they are cut between them.

One module a format. None decides how a file is cut (:mod:`ahstore.chunks.cutter` does), none is
needed to read a store: docs/format/chunks.md.
"""
