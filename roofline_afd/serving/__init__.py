"""Decisions: the user's question, turned into the numbers that physics computes with."""
