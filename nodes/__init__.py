"""The node: hosts tool servers, keeps them alive, and hands calls to them."""
