"""A report each night, which never runs twice at a time."""
