"""The local target: this machine."""
