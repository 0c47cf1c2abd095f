"""The model catalogue: TOML records of mixture-of-experts model shapes. Data only."""
