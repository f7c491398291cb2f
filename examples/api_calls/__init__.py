"""An API that takes 600 calls a minute of each customer."""
