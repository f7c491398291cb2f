"""The place of the dashboard, which comes in a later release."""
