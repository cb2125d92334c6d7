"""The result cache: kept in a file, bounded, and asked once for many callers."""
