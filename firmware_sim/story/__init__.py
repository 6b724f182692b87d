"""Stories: what a scenario file says, read and checked, and laid out on one line of time. Pure."""
