"""What pages read from the api, and what a page notes while it reads."""
