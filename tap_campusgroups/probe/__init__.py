"""The probe: what the tap assumes of the service, compared with what the service does."""
