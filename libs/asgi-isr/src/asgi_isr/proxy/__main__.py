"""`asgi-isr`, also as `python -m asgi_isr.proxy`."""

import importlib
import sys

INSTALL = "pip install 'asgi-isr[proxy,redis,nats]'"
_PACKAGES = frozenset({"granian", "httptools", "nats", "redis"})


def main() -> None:
    """Run the command; exits with status 2 for a missing package or an invalid argument."""
    # Imported here, so that a missing package is reported in one line.
    try:
        options = importlib.import_module("asgi_isr.proxy.options")
        server = importlib.import_module("asgi_isr.proxy.server")
        app = importlib.import_module("asgi_isr.proxy.app")
        settings = options.parse(sys.argv[1:])
        app.create_app(settings)  # each worker makes its own; here it shows what is wrong
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES:
            raise
        _refuse(f"the package {package} is missing: {INSTALL}")
    except ValueError as error:
        _refuse(str(error))
    else:
        server.serve(settings)


def _refuse(reason: str) -> None:
    sys.stderr.write(f"asgi-isr: {reason}\n")
    raise SystemExit(2)


if __name__ == "__main__":
    main()
