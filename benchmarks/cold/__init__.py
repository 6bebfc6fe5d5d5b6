"""Cold starts: how long a new process of each function takes, beside handlers that do nothing."""
