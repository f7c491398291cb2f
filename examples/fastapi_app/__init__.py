"""An application of fastapi that has asyncmqd work for it."""
