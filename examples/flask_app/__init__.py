"""An application of flask that has asyncmqd work for it."""
