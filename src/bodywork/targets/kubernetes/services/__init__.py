"""Services: made, rolled out, undone, and reached from outside."""
