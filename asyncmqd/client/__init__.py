"""What application code holds: tasks, queues, jobs, and the store they live in."""
