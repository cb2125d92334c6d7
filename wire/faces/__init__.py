"""How a catalogue of tools is offered over HTTP. Mounted by the manager and by every node."""
