"""The contract of a store in its five faces; `base.BaseBackend` joins them."""
