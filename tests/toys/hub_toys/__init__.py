"""Small methods that prove the contract, each in at most forty lines."""
