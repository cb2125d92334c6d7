"""What runs in the zygote and in sandboxes: programs that know no secret. Standard library only."""
