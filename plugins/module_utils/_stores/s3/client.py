# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The client of an S3 store: boto3 creates and signs the requests, C(_http.session) sends them.

So they follow the same rules as all our requests: proxies come from the option or the environment alone, no body is
sent before the server asks for it, slow connections count as broken, and errors have our messages. boto3 itself makes
no retries, because it does not know which failures are transient for us.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from ..._common.deps import load
from ..._common.errors import TaskError
from ..._common.retry import RetryLater
from ..._common.xml import HostileXml, require_harmless
from ..._http.headers import redirect_target
from ..._http.limits import LARGEST_FILE, LIST_ANSWER, Pages
from ..._http.page import page_instead
from ..._http.session import REDIRECTS, Http, bare, retry_after
from ..base import StoreOptions
from .errors import EXPIRED, Place, Refusal, Refused, request_name, understood, wrong_region

# Bytes per second. A server may copy or hash all bytes before it answers; this is the assumed minimum speed.
_SLOWEST_SERVER = 10 * 1024 * 1024
_LONGEST_PAGE = 64 * 1024
# More than an answer has with the 1000 entries that are asked for.
_MOST_ELEMENTS = 100_000
# By which lists are continued.
_PAGE_MARKS = ("ContinuationToken", "KeyMarker", "UploadIdMarker", "PartNumberMarker")
# For one call. After a redirect, botocore asks for the region of the bucket, and again after each redirect of that.
_MOST_REQUESTS = 5
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RuntimeError)
# The address from which a host in Amazon's cloud gets its role.
_ROLE_ADDRESS = "169.254.169.254"


@dataclass(frozen=True)
class _Login:
    """A client, and the keys that it was created with."""

    client: Any
    keys: tuple[str | None, ...]


class S3Client:
    """Requests for one bucket. Any thread may use it."""

    def __init__(self, bucket: str, url: str, options: StoreOptions) -> None:
        self.bucket = bucket
        self._options = options
        self._boto3 = load("boto3")
        self._core = load("botocore")
        self._errors = load("botocore.exceptions")
        # It is not one of the exceptions of that module.
        self._unparsed: type[Exception] = load("botocore.parsers").ResponseParserError
        self.region = options.region or self._region()
        self.endpoint = options.endpoint_url
        host = urlsplit(self.endpoint).netloc if self.endpoint else f"s3.{self.region}.amazonaws.com"
        self.place = Place(
            url=url,
            bucket=bucket,
            host=host,
            region=self.region,
            given_keys=options.access_key is not None,
            has_session_token=options.session_token is not None,
            acl=options.s3_acl,
            tags=bool(options.s3_tags),
            encryption=options.s3_encryption,
            storage_class=options.s3_storage_class,
        )
        self._login: _Login | None = None
        self._logging_in = threading.Lock()
        # Per thread: an HTTP session, and what the current request needs besides its parameters.
        self._own = threading.local()

    def call(
        self,
        operation: str,
        accept: tuple[str, ...] = (),
        conditions: Mapping[str, str] | None = None,
        work: int = 0,
        largest: int = LARGEST_FILE,
        needs: tuple[str, ...] = (),
        **parameters: Any,
    ) -> Any:
        """Send a request, by the name of boto3's method, and return boto3's result.

        Raises Refused for a code in C(accept); for all others RetryLater, or TaskError with a message.
        C(conditions) are headers. C(work) is how many bytes the server may have to process before it answers.
        C(largest) is how many bytes of a file can be read.
        C(needs) are the parts of the result without which it is not an answer.
        """
        self._turn_page(operation, parameters)
        login = self._logged_in()
        self._own.headers = dict(conditions or {})
        self._own.largest = largest
        self._own.requests = 0
        self._own.patience = self._options.timeout + work / _SLOWEST_SERVER
        try:
            answer = getattr(login.client, operation)(Bucket=self.bucket, **parameters)
        except self._errors.ClientError as error:
            refusal = _refusal(operation, error.response)
        except self._errors.BotoCoreError as error:
            raise self._unsent(error) from error
        except (*_UNREADABLE, self._unparsed) as error:  # botocore reads some values without a check
            raise RetryLater(
                f"{self.place.host} sent an answer to {request_name(operation)} that cannot be read "
                f"({type(error).__name__}). Check endpoint_url, and the gateway in front of the store."
            ) from error
        else:
            for name in needs:
                if answer.get(name) in (None, ""):
                    raise self.odd(operation, f"has no {name}")
            return answer
        finally:
            self._own.headers = {}
        if refusal.code in accept:
            raise Refused(refusal.code, refusal.status)
        if refusal.code in EXPIRED and self._renew(login):
            raise RetryLater("The temporary credentials expired and were renewed.", after=0.0)
        raise understood(refusal, self.place)

    def _turn_page(self, operation: str, parameters: Mapping[str, Any]) -> None:
        """Raise TaskError for a list without an end."""
        if not operation.startswith("list_"):
            return
        mark = tuple(parameters[name] for name in _PAGE_MARKS if parameters.get(name))
        if not mark:
            self._own.last = (0, 0)
            self._own.pages = Pages(f"The list of {self.place.url} ({operation})")
        else:
            self._own.pages.turn(mark, *self._own.last)

    def odd(self, operation: str, why: str) -> TaskError:
        """Return the error for an answer that is not that of an S3 store, so that nothing is known."""
        return TaskError(
            f"{self.place.host} answered oddly to {request_name(operation)}: the answer {why}. Check endpoint_url, and "
            "the gateway in front of the store."
        )

    def _region(self) -> str:
        # Stores other than Amazon's have one region, and most accept this name for it.
        found = "us-east-1" if self._options.endpoint_url else self._session().region_name
        if not found:
            raise TaskError("No region is set for S3. Set region to that of the bucket, such as eu-central-1.")
        return found

    def _session(self) -> Any:
        options = self._options
        core = load("botocore.session").Session()
        # boto3 warns about Python versions that its next releases will not support.
        warnings.filterwarnings("ignore", "Boto3 will no longer support Python", category=Warning)
        if options.access_key is None:
            _keep_off_system_proxies()
        try:
            return self._boto3.session.Session(
                aws_access_key_id=options.access_key,
                aws_secret_access_key=options.secret_key,
                aws_session_token=options.session_token,
                region_name=options.region,
                botocore_session=core,
            )
        except load("botocore.exceptions").BotoCoreError as error:
            raise self._unsent(error) from error

    def _logged_in(self) -> _Login:
        with self._logging_in:
            if self._login is None:
                self._login = self._log_in()
            return self._login

    def _log_in(self) -> _Login:
        session = self._session()
        try:
            credentials = session.get_credentials()
            if credentials is None:
                raise TaskError(
                    "No credentials for S3 were found. Set access_key and secret_key, or log in so that boto3 finds "
                    "credentials: in the environment, in a profile (AWS_PROFILE), or as the role of the host."
                )
            frozen = credentials.get_frozen_credentials()
            client = session.client("s3", endpoint_url=self.endpoint, region_name=self.region, config=self._config())
        except self._errors.BotoCoreError as error:
            raise self._unsent(error) from error
        except ValueError as error:
            raise TaskError("endpoint_url is not a valid URL. Use one such as https://s3.example.com:9000.") from error
        client.meta.events.register("before-call.s3", self._add_headers)
        client.meta.events.register("before-send.s3", self._send)
        return _Login(client, (frozen.access_key, frozen.token))

    def _renew(self, old: _Login) -> bool:
        """Log in again; return whether that returned other credentials than the expired ones."""
        if self.place.given_keys:
            return False
        with self._logging_in:
            if self._login is old:
                self._login = self._log_in()
            return self._login.keys != old.keys

    def _config(self) -> Any:
        config = load("botocore.config").Config
        wanted = {
            "signature_version": "s3v4",
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            # The bytes are protected by TLS and by the checksums that we send.
            "s3": {
                "addressing_style": "path" if self.endpoint else "auto",
                "payload_signing_enabled": False,
                "us_east_1_regional_endpoint": "regional",
            },
            # Not None, with which botocore would read the system's settings.
            "proxies": {},
            "user_agent_extra": "macops.parallels",
            "max_pool_connections": 1,
            # Not every release supports the following options.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "ignore_configured_endpoint_urls": True,
        }
        return config(**{name: value for name, value in wanted.items() if name in config.OPTION_DEFAULTS})

    def _add_headers(self, params: dict[str, Any], **_unused: Any) -> None:
        """Add headers for which not every release of boto3 has a parameter, before the request is signed."""
        params["headers"].update(getattr(self._own, "headers", {}))

    def _send(self, request: Any, **_unused: Any) -> Any:
        """Send a signed request instead of botocore, and return the answer in botocore's form."""
        self._own.requests += 1
        if self._own.requests > _MOST_REQUESTS:
            raise TaskError(
                f"{self.place.host} sends every request to another region, without its name. Set region to that of the "
                "bucket, and check endpoint_url."
            )
        headers = {name: _text(value) for name, value in request.headers.items()}
        expect = headers.pop("Expect", None) is not None
        http = self._http()
        response = http.request(
            request.method,
            request.url,
            headers,
            request.body,
            stream=True,
            expect=expect,
            answer_timeout=self._own.patience,
            largest=self._own.largest if request.stream_output else LIST_ANSWER,
        )
        self._refuse_other_region(response)
        self._refuse_page(request, response)
        if request.method == "HEAD":
            response.close()
            blocks: Iterator[bytes] = iter(())
        else:
            blocks = http.file_blocks(response)
        if not request.stream_output or response.status_code >= 300:
            blocks = iter([self._document(blocks, response.status_code)])
        answer = load("botocore.awsrequest").AWSResponse
        return answer(request.url, response.status_code, response.raw.headers, _Answer(blocks))

    def _document(self, blocks: Iterator[bytes], status: int) -> bytes:
        """Return the XML of an answer, which botocore parses; without a text that cannot be read, for an error."""
        try:
            document = b"".join(blocks)
            # botocore reads all of them as UTF-8, whatever they declare.
            elements = require_harmless(document, "utf-8", _MOST_ELEMENTS)
        except HostileXml as error:
            raise RetryLater(
                f"The answer of {self.place.host} was not read: {error}, which no S3 store sends. Check endpoint_url."
            ) from error
        except TaskError:
            if status < 300:
                raise
            return b""
        # A file in a list has three elements, or more.
        self._own.last = (len(document), elements // 3)
        return document

    def _http(self) -> Http:
        if not hasattr(self._own, "http"):
            self._own.http = Http(
                ca_path=self._options.ca_path, proxy=self._options.proxy, timeout=self._options.timeout
            )
        return self._own.http

    def _refuse_other_region(self, response: Any) -> None:
        """Raise TaskError if Amazon reports another region for the bucket: boto3 would follow silently."""
        told = response.headers.get("x-amz-bucket-region")
        if response.status_code >= 300 and told and told != self.region:
            response.close()
            raise wrong_region(self.place, told)

    def _refuse_page(self, request: Any, response: Any) -> None:
        """Raise TaskError when a web page came, or a redirect to one: from a console, a login or a gateway."""
        headers = response.headers
        page = None
        if response.status_code == 200:
            name, kind = urlsplit(request.url).path, headers.get("Content-Type", "")
            page = page_instead(name, kind)
            if page and request.method == "GET":
                head = next(self._http().blocks(response, _LONGEST_PAGE), b"")
                page = page_instead(name, kind, head, headers.get("Content-Encoding", ""))
        elif response.status_code in REDIRECTS and not any(name.lower().startswith("x-amz-") for name in headers):
            target = redirect_target(request.url, headers.get("Location", ""))
            page = f"a redirect to {bare(target)}" if target else "a redirect"
        if page is None:
            return
        response.close()
        raise TaskError(
            f"{self.place.host} sent {page} where the store should answer. A login page or a gateway is in front of "
            "the store, or the address is that of a console. Check endpoint_url (the address and port of the S3 API) "
            "and the proxy."
        )

    def _unsent(self, error: Exception) -> Exception:
        """Return what to raise for botocore's own errors, whose text may contain secrets."""
        kind = type(error).__name__
        if kind in ("NoCredentialsError", "PartialCredentialsError"):
            return TaskError("The credentials for S3 are incomplete. Set access_key and secret_key.")
        if kind in ("ProfileNotFound", "ConfigParseError", "ConfigNotFound", "InvalidConfigError"):
            return TaskError(
                f"The profile in AWS_PROFILE or the AWS configuration in ~/.aws cannot be used ({kind}). "
                "Correct it, or set access_key and secret_key."
            )
        if "Token" in kind or "SSO" in kind or kind == "CredentialRetrievalError":
            return TaskError(
                f"The source of the credentials for S3 returned none ({kind}). Log in again (for example with aws sso "
                "login), or set access_key and secret_key."
            )
        if kind in ("ParamValidationError", "InvalidRegionError"):
            return TaskError(
                f"The request is not valid ({kind}). Check destination, region and the options that start with s3_."
            )
        if kind in ("ResponseParserError", "IncompleteReadError"):
            return RetryLater(
                f"The answer of {self.place.host} is not that of an S3 store ({kind}). Check endpoint_url."
            )
        return RetryLater(f"{self.place.host} or the source of the credentials is not available ({kind}).")


class _Answer:
    """The body of an answer, as botocore reads it."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def read(self, _amount: int | None = None) -> bytes:
        return next(self._blocks, b"")

    def stream(self, **_unused: Any) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        close = getattr(self._blocks, "close", None)
        if close is not None:
            close()


def _refusal(operation: str, answer: Mapping[str, Any]) -> Refusal:
    metadata = answer.get("ResponseMetadata", {})
    error = answer.get("Error", {})
    status = int(metadata.get("HTTPStatusCode") or 0)
    headers = metadata.get("HTTPHeaders", {})
    return Refusal(
        operation,
        str(error.get("Code") or status),
        status,
        error.get("Region") or headers.get("x-amz-bucket-region"),
        retry_after(SimpleNamespace(headers={"Retry-After": headers.get("retry-after", "")})),
    )


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _keep_off_system_proxies() -> None:
    """Keep botocore from asking macOS for proxies when it looks for a role: that crashes in a forked process.

    It asks macOS when the environment contains no proxy variables.
    """
    if not getproxies_environment():
        os.environ["NO_PROXY"] = _ROLE_ADDRESS
