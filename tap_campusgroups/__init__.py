"""Singer tap for the CampusGroups Data Export API."""
