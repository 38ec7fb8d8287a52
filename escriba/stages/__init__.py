"""What happens to a document, one file a stage: gather what is needed, decide, apply; through ports only."""
