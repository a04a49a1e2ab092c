"""Parts of tools.studies.faults."""
