"""The contract of a store in its four faces; `base.BaseBackend` joins them."""
