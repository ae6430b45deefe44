"""The paper's experiment: train and measure many metrics, and report them in a table and a page."""
