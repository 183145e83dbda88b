"""The program that ends everything when the supervisor is gone, and how to kill for good."""
