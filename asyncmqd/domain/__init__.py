"""The pure part: what a job is, which states it may take, and what its next state is.

Nothing here does I/O, reads a clock or draws a random number (`clock` is the one module that
may, and it is only ever passed in). Imports from this package reach nothing else of asyncmqd.
"""
