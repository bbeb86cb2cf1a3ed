"""Running the tap unattended with cron, systemd or a container."""
