"""The use cases, and the place where the parts are put together."""
