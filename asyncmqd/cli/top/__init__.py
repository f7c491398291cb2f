"""`asyncmq top`: a store, live.

`panes.py` says what the tables have, `keys.py` what a key does, `view.py` what is on the screen;
these are pure. `screen.py` is the terminal, and `live.py` joins them to a store.
"""
