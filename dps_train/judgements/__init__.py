"""People's judgements: reading them, scoring distances with them, and fitting importances."""
