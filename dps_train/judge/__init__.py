"""A local page on which a person judges triplets, chosen so that few answers suffice."""
