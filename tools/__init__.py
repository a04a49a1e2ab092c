"""Programs beside training; each is run as `python -m tools.NAME`."""
