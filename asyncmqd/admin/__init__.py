"""What operators can ask of a store. Command lines and web pages only read words and print."""
