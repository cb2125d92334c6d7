"""A stand-in for MongoDB, as an image."""
