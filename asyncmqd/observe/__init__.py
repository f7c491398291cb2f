"""What people get to see: structured log lines, and the one observer of every change."""

from asyncmqd.observe.events import Observer

__all__ = ["Observer"]
