"""The api service: owns the reference rates, serves them, and announces every change of them."""
