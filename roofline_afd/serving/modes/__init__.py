"""Serving modes over the first token and every next one: replicas and pools of a cluster, searched."""
