"""One run of a pipeline at a time: the Lease that says who carries it out."""
