"""How long a broadcast takes, and what it waits for: a simulation of queues, quotas and scaling."""
