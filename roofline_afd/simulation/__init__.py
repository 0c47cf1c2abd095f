"""Requests of random length through attention and FFN instances, step by step: numbers in, numbers out."""
