"""A search index that is brought up to date after edits, and not at each of them."""
