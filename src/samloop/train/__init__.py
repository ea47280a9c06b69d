"""One training driver over two thin backends."""
