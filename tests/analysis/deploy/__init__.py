"""Launch files and what to watch."""
