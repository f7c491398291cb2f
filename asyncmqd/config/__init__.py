"""`queues.toml`, its drop-ins and the environment: read, checked, frozen, compared."""
