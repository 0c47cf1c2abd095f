"""What the catalogues hold, and what a formula says."""
