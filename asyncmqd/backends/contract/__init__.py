"""The contract of a store in its seven faces; `base.BaseBackend` joins them."""
