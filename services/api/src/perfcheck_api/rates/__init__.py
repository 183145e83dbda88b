"""The reference rates: reading them, and writing a day of them."""
