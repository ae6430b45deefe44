"""The paper's experiment: many metrics trained and measured alike, in one table and one page."""
