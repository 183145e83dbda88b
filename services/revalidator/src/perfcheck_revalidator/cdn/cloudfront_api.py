"""CloudFront's API through boto3: two calls, each with a time limit, in a bounded pool of threads.

Nothing is retried here. boto3 costs 0.1 s and more to import, so the first call imports it, in a
thread.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from perfcheck_revalidator.cdn.port import CdnError

__all__ = ["REGION", "CloudFrontApi", "CloudFrontError", "error_of"]

REGION = "us-east-1"  # CloudFront is global; its API is signed for this region
THREADS_MAX = 4
CLOUDFRONT_CONNECT_S_MAX = 3.0
CLOUDFRONT_READ_S_MAX = 10.0
# Bounds a whole call: waiting for a thread, finding credentials, a server that drips.
CLOUDFRONT_CALL_S_MAX = 20.0

# What ends by itself though its status is 4xx: quotas, throttling, credentials about to be renewed.
_PASSING_CODES = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "PriorRequestNotComplete",
        "RequestExpired",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyInvalidationsInProgress",
        "TooManyRequestsException",
    }
)
_PASSING_STATUSES = frozenset({408, 429})
_ITEMS_STATUSES = frozenset({400, 413})  # InvalidArgument, BatchTooLarge


class CloudFrontError(CdnError):
    """A call failed.

    `unknown` says that CloudFront may have done it nevertheless, `items` that it refused what the
    call named, so that others might pass.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        unknown: bool = False,
        items: bool = False,
    ) -> None:
        super().__init__(message, permanent=permanent)
        self.unknown = unknown
        self.items = items


def error_of(code: str, status: int, message: str) -> CloudFrontError:
    """Return what an error answer means: whether it passes, and whether the call was done."""
    text = f"CloudFront answered {code or status}: {message}"
    if code in _PASSING_CODES or status in _PASSING_STATUSES:
        return CloudFrontError(text)
    if 300 <= status < 500:  # noqa: PLR2004  statuses of RFC 9110
        return CloudFrontError(text, permanent=True, items=status in _ITEMS_STATUSES)
    return CloudFrontError(text, unknown=True)


class CloudFrontApi:
    """Invalidations of one distribution. Credentials come from AWS's chain.

    Both calls raise `CloudFrontError`. `endpoint_url` is for emulators.
    """

    def __init__(
        self,
        distribution_id: str,
        *,
        endpoint_url: str | None = None,
        connect_timeout_s: float = CLOUDFRONT_CONNECT_S_MAX,
        read_timeout_s: float = CLOUDFRONT_READ_S_MAX,
        call_timeout_s: float = CLOUDFRONT_CALL_S_MAX,
    ) -> None:
        self._distribution_id = distribution_id
        self._endpoint_url = endpoint_url
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._call_timeout_s = call_timeout_s
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="cloudfront")
        self._building = threading.Lock()
        self._client: Any = None

    async def create(self, reference: str, items: Sequence[str]) -> str:
        """Create the invalidation of `items`; return its id, also where it exists already."""

        def create() -> Any:
            return self._connected().create_invalidation(
                DistributionId=self._distribution_id,
                InvalidationBatch={
                    "Paths": {"Quantity": len(items), "Items": list(items)},
                    "CallerReference": reference,
                },
            )

        return await self._call("CreateInvalidation", create, "Id")

    async def status(self, invalidation_id: str) -> str:
        """Return the status of an invalidation, `InProgress` or `Completed`."""

        def get() -> Any:
            return self._connected().get_invalidation(
                DistributionId=self._distribution_id, Id=invalidation_id
            )

        return await self._call("GetInvalidation", get, "Status")

    async def close(self) -> None:
        """Start no more calls; one under way ends within its time limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _connected(self) -> Any:
        with self._building:
            if self._client is None:
                import boto3  # noqa: PLC0415  late: see above
                from botocore.config import Config  # noqa: PLC0415

                try:
                    self._client = boto3.session.Session().client(
                        "cloudfront",
                        region_name=REGION,
                        endpoint_url=self._endpoint_url,
                        config=Config(
                            connect_timeout=self._connect_timeout_s,
                            read_timeout=self._read_timeout_s,
                            max_pool_connections=THREADS_MAX,
                            retries={"total_max_attempts": 1},
                        ),
                    )
                except ValueError as error:  # the address of an emulator
                    raise CloudFrontError(
                        f"PERFCHECK_CLOUDFRONT_ENDPOINT_URL: {error}", permanent=True
                    ) from error
            return self._client

    async def _call(self, name: str, function: Callable[[], Any], field: str) -> str:
        """Run `function` in a thread; return `field` of the invalidation that it answers."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._call_timeout_s):
                return await loop.run_in_executor(self._threads, _invalidation, function, field)
        except TimeoutError as error:
            raise CloudFrontError(
                f"CloudFront did not answer {name} within {self._call_timeout_s:g} s", unknown=True
            ) from error


def _invalidation(function: Callable[[], Any], field: str) -> str:
    """Call boto3 and read its answer; every failure becomes a `CloudFrontError`."""
    from botocore.exceptions import (  # noqa: PLC0415  late: see above
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        ParamValidationError,
    )
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    try:
        return str(function()["Invalidation"][field])
    except ClientError as error:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise error_of(str(told.get("Code", "")), status, str(told.get("Message", ""))) from error
    except ParamValidationError as error:
        raise CloudFrontError(
            f"boto3 refused the request: {error}", permanent=True, items=True
        ) from error
    except NoCredentialsError as error:
        # On a machine whose metadata service hiccups they are there a moment later.
        raise CloudFrontError(f"no AWS credentials found: {error}") from error
    except (BotoCoreError, ResponseParserError) as error:
        raise CloudFrontError(f"no answer of CloudFront: {error}", unknown=True) from error
    except (KeyError, TypeError, ValueError) as error:
        raise CloudFrontError(f"CloudFront's answer has no {field}", unknown=True) from error
