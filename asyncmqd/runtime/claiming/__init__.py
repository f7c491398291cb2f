"""How one worker gets its jobs: what it asks of the store, when, and for how many."""
