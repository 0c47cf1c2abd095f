"""Published throughput of whole services: read, predicted, compared, and constants that four of them set."""
