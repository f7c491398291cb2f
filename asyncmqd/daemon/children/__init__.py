"""Child processes that run jobs for the daemon: `processes` above 1."""
