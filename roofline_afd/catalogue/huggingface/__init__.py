"""Configurations as Hugging Face publishes them, read as model records."""
