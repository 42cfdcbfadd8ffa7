"""Fixed small partners: every method is tried in their company, so what fails is the method."""
