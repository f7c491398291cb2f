"""What people get to see: structured log lines, and the one observer of every change."""

from asyncmqd.observe.observer import Observer

__all__ = ["Observer"]
