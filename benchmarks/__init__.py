"""Benchmarks that anyone can run; docs/performance.md holds their results."""
