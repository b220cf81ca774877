"""What the shop has, and how it is shown and sold."""
