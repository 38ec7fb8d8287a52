"""Speed and memory beside other programs, and the pipeline over folders of real documents."""
