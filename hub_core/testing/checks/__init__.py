"""What every method keeps: one function for each promise, raising a sentence where it is broken."""
