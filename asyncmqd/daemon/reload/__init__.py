"""A reload: what it would change, what that means, and its application."""
