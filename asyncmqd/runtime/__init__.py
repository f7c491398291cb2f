"""`run_worker` and its parts: claiming, executing, leases, limits, scanning, scheduling."""
