"""report.html: one page a run that shows what it did and opens without anything else."""
