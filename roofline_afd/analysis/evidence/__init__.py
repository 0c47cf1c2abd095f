"""Measurements: predictions held against them, and records fitted to them."""
