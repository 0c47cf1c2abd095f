"""Launch files and flags, a module for each software, from the pages that document it."""
