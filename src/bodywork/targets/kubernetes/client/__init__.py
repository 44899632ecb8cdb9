"""The one door to a cluster: its kubeconfig, the connection, requests, watches and logs."""
