"""Records of hardware and models: parsing, provenance, overlays and overrides."""
