"""What use cases need of a cluster: its site, schedules, secrets, logs; and what runs inside of it."""
