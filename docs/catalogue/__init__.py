"""The catalogue of messages: writes `docs/events.md` and the JSON Schemas in `docs/schemas/`.

Both are made of the message structs, the stored samples and `events.template.md`; a test holds them
together. Run it by `make docs` after a message has changed.
"""
