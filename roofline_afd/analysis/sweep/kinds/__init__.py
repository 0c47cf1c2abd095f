"""What a sweep evaluates: a file for each way of computing many points."""
