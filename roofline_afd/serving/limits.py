"""What a deployment is held to: names of what can bind, and how much of it rounding may miss."""

from __future__ import annotations

SAME = 1e-9
"""Rates, times and counts that differ by no more than this share are the same but for rounding."""

MEMORY, RATIO, FABRIC = "HBM capacity", "ratio granularity", "no fabric"
CLUSTER, KERNELS = "cluster size", "limits of exchange kernels"
LATENCY, FIRST_TOKEN = "latency target", "first-token target"
PREFILL_SHARE, SLOTS = "prefill share of steps", "slots for the prompts of a chunk"
PREFILL, REQUEST_RATE, THROUGHPUT = "prefill pool", "request rate", "throughput"
