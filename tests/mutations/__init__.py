"""Bugs put into the stores by hand, each with the tests that must notice it."""
