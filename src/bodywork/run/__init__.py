"""What happens: states, events, plan and engine of a run. Pure but for the clock."""
