"""Contexts: rankings and importances, their names, and where saved ones are kept."""
