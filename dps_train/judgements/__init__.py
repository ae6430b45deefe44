"""Judgements of people: files, scores, and importances that follow from them."""
