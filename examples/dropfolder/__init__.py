"""A drop folder: whatever is put into the inbox gets archived, indexed and announced."""
