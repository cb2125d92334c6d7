"""The ways to confine foreign code on this machine, and the choice among them."""
