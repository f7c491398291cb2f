"""What the daemon answers over HTTP. Nothing of it is imported unless [http] says so."""
