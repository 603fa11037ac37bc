"""Train and evaluate: user code run as local processes, supervised, recorded, committed."""
