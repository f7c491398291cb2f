"""Webhooks: what goes wrong is told to other programs. Nobody without webhooks imports this."""
