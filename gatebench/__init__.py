"""gatebench."""
