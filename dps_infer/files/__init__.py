"""Read and write files and tables."""
