"""Deployments of one decode step: what each reaches, and expert parallelism against disaggregation."""
