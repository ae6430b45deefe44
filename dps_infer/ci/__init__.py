"""Results for continuous integration: JUnit XML, and annotations and summaries of GitHub."""
