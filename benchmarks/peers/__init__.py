"""Other tools on the same workloads: a module each, which says how it is asked for each row."""
