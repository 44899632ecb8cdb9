"""The target `kubernetes`: any cluster that a kubeconfig reaches; stages are Jobs and Deployments."""
