"""Methods that each break one promise, for the suites to find."""
