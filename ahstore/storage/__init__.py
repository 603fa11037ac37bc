"""The one I/O floor: write-once files, cells, leases, on disk or in memory."""
