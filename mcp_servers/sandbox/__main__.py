"""`python -m mcp_servers.sandbox`: the server on stdin and stdout, until stdin ends."""

from mcp_servers.sandbox import processes, workspace
from mcp_servers.sandbox.runner import Runner
from mcp_servers.sandbox.server import create_server

if __name__ == "__main__":
    processes.adopt_orphans()
    workspace.delete_stale()
    create_server(Runner()).run()
