"""What hostile surroundings do to commands: signals, short memory, full disks, other writers."""
