"""The hardware catalogue: TOML records of accelerators, interconnects and systems. Data only."""
