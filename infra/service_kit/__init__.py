"""What generated services share at run time: a read model that follows a log, and rules."""
