"""Times of single operators and transfers: read, predicted, compared, and efficiencies fitted to them."""
