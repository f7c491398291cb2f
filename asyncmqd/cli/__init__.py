"""The two commands: `asyncmqd` for the daemon, `asyncmq` for the jobs in the store."""
