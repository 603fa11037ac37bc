"""Where a run's code comes from: repositories, revisions, the command to start."""
