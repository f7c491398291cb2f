"""One run of a job, from its claim to its outcome: in the loop, in a thread, in a child process."""
