"""What carries a run's worker out: this machine, Slurm, Ray, behind one contract."""
