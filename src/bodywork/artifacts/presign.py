"""Signed requests to an S3 server of which only the address as it sees itself is known.

AWS Signature Version 4 in query parameters, as the Amazon S3 API reference gives it under
"Authenticating Requests: Using Query Parameters". The client library signs for keys of objects;
listing a bucket has none.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

EXPIRES = "900"
UNRESERVED = "-_.~"


def presigned(
    method: str,
    path: str,
    params: Mapping[str, str],
    *,
    host: str,
    credential: Mapping[str, str],
    region: str = "us-east-1",
) -> dict[str, str]:
    """All query parameters of a request that is good for 15 minutes.

    `host` is what its header Host will say; `credential` has AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY. `path` is not quoted.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    signed = {
        **params,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{credential['AWS_ACCESS_KEY_ID']}/{scope}",
        "X-Amz-Date": now,
        "X-Amz-Expires": EXPIRES,
        "X-Amz-SignedHeaders": "host",
    }
    query = "&".join(sorted(f"{_quoted(key)}={_quoted(value)}" for key, value in signed.items()))
    request = (
        f"{method}\n{quote(path, safe='/' + UNRESERVED)}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    )
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credential['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (now[:8], region, "s3", "aws4_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    return {**signed, "X-Amz-Signature": key.hex()}


def _quoted(text: str) -> str:
    return quote(text, safe=UNRESERVED)
