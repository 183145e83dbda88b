"""The pages of rates: from an address to a response, and all that a page looks like."""
