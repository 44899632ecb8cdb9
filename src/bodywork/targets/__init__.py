"""Where stages run: the `Target` protocol and its implementations."""
