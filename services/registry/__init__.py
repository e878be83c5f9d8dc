"""Which services there are, how they are, and the description of the whole system."""
