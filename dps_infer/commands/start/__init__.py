"""The commands for the first minutes: a demo, the installation, and the description of a file."""
