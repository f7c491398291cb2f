"""Type hints: what the JSON of an argument or a result is read as, decided where it is declared."""
