"""The pods of stages: found, followed, understood; and what runs in their init containers."""
