"""Deploy machine-learning projects straight from Git, on this machine or on Kubernetes."""

__version__ = "0.1.0"
