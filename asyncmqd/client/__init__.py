"""What application code holds: tasks, queues, jobs, and the store they live in."""

from asyncmqd.client.connection import NotConfigured, connect
from asyncmqd.client.job import Job, JobFailed, JobGone
from asyncmqd.client.queue import Queue
from asyncmqd.client.tasks import Task, task

__all__ = ["Job", "JobFailed", "JobGone", "NotConfigured", "Queue", "Task", "connect", "task"]
