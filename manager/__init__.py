"""The one service agents talk to. Knows tools and nodes; runs no tool itself."""
