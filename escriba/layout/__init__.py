"""From lines on a page to blocks in reading order; pure geometry, shared by every engine."""
