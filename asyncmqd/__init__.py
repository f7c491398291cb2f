"""asyncmqd: background jobs for Python on Linux, run by a daemon that systemd manages."""
