"""How one page comes to be: once in this process, once in the fleet."""
