"""Search: providers behind one protocol, their order, and results in one shape."""
