"""What use cases need of this machine: its site, schedules, secrets, logs and stores."""
