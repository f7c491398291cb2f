"""The dashboard: pages that the daemon makes, for people. It needs the extra `web`.

`site.py` says what is at which path, `pages/` what each page shows, `templates/` how. `board.py`
asks the store, once for all who look.
"""
