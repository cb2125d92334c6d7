"""What the containers need beside the platform itself. Imported by nothing."""
