"""How fast, how big and how dear one notification is, on this machine."""
