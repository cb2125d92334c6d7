"""How nodes are started and stopped."""
