"""Requests of random lengths: the ratio of attention to FFN instances, and the serving modes."""
