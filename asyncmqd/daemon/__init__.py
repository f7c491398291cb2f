"""The daemon: supervisor, reload, signals, systemd, and the control socket."""
