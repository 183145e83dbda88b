"""`python -m catalogue`: write schemas and document; refuse changes that would break a release."""

import json
import sys

from catalogue.compatibility import breaks
from catalogue.document import DOCUMENT, SCHEMAS, document, schema_text
from catalogue.messages import MESSAGES


def main() -> int:
    """Write everything; return 1 without a change when a message would no longer fit."""
    problems = []
    for message in MESSAGES:
        path = SCHEMAS / f"{message.type_name}.json"
        if path.exists():
            found = breaks(json.loads(path.read_text()), message.schema())
            problems += [f"{message.type_name}: {problem}" for problem in found]
    if problems:
        sys.stderr.write("\n".join([*problems, "give it a new version beside the old", ""]))
        return 1
    for message in MESSAGES:
        (SCHEMAS / f"{message.type_name}.json").write_text(schema_text(message))
    DOCUMENT.write_text(document())
    return 0


if __name__ == "__main__":
    sys.exit(main())
