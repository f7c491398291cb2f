"""What the workers of a process share on one store: health, wake-ups, presence, recovery."""
