"""Near-duplicates: texts → sets of shingles → sketches → candidate pairs → what an exact comparison confirms."""
