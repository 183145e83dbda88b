"""The standing attacks: what each credential reaches at NATS, generated from the accounts."""
