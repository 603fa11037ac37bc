"""Assets from store to store: what is missing is found, copied as stored, verified, published."""
