"""The parts of curation in bulk; `samloop.loop.curate` tells the story."""
