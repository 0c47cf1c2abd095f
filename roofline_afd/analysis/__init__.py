"""One question a file: each takes a scenario and returns an `Answer`."""
