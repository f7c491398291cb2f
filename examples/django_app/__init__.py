"""An application of django that has asyncmqd work for it."""
