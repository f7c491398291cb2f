"""The contract of a store in its six faces; `base.BaseBackend` joins them."""
