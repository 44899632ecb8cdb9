"""The command line: options, one use case, rendering."""
