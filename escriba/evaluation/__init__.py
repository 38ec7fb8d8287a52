"""How well documents are read: truths, metrics, summaries and comparisons that anyone can run again."""
