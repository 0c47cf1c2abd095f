"""Which system to buy, and which uncertain inputs move that."""
