"""What each page shows: functions that give the values of a template."""
