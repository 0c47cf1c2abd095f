"""Sweeps over any inputs: many designs at once, in blocks, on one machine or many."""
