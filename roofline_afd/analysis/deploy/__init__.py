"""From an answer to a running deployment: launch files and flags of serving software, and what to watch."""
