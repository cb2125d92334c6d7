"""Where the registry and other durable records are kept."""
