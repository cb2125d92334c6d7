"""The guarded fetcher, which tool servers share. It is no server, and imports nothing of ours."""
