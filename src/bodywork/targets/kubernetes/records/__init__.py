"""The record of runs, kept in ConfigMaps of the cluster."""
