"""Objects in an S3 bucket: listed, and fetched one by one while they are read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import xxhash

from samloop.errors import SourceError
from samloop.files import private_folder
from samloop.protocols import Reject
from samloop.sources import portions
from samloop.sources.files import DATA_SUFFIXES
from samloop.sources.portions import DataFile

T = TypeVar("T")

ANSWER_SECONDS: Final = 60.0
"""How long a server may take to list a place or to begin an object."""

CONNECT_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 30.0
CHUNK_BYTES: Final = 2**22


@dataclass(frozen=True, slots=True)
class Object:
    """An object in a bucket: ``s3://bucket/key``, and the key below what was asked for."""

    location: str
    name: str
    size: int


def is_remote(location: str) -> bool:
    """Whether `location` is an address and not a path."""
    return "://" in location


def find(location: str) -> list[Object]:
    """The object at `location`, or the data files below it, in order of key.

    Raises:
        SourceError: it is no S3 address, nothing is there, or the server does not answer.
    """
    scheme, _, key = location.partition("://")
    if scheme != "s3" or not key.strip("/"):
        raise SourceError(f"expected a path or s3://BUCKET/KEY, got {location}; name one of these")
    return _answered(location, lambda: _listed(location, key.strip("/")))


def fetch(thing: Object, cache: Path) -> DataFile | Reject:
    """The object's content in a file below `cache`, looked at; a Reject where it holds no data.

    Raises:
        SourceError: it cannot be fetched.
    """
    folder = private_folder(cache / xxhash.xxh3_128_hexdigest(thing.location.encode()))
    target = folder / Path(thing.name).name

    def copy() -> None:
        with _filesystem().open_input_stream(thing.location.partition("://")[2]) as source, target.open("wb") as out:
            while chunk := source.read(CHUNK_BYTES):
                out.write(chunk)

    _answered(thing.location, copy, seconds=ANSWER_SECONDS + thing.size / 2**16)
    for found in portions.of_paths(folder, [target], alone=False, named=True):
        if isinstance(found, DataFile):
            found.job.name = thing.name
            return DataFile(found.job, thing.location)
        return Reject(thing.location, found.reason, found.detail)
    raise AssertionError("a path that is named always yields something")


def _listed(location: str, key: str) -> list[Object]:
    from pyarrow.fs import FileSelector, FileType

    filesystem = _filesystem()
    info = filesystem.get_file_info([key])[0]
    if info.type == FileType.File:
        return [Object(location, key.rpartition("/")[2], info.size)]
    if info.type == FileType.NotFound:
        raise SourceError(f"expected an object or a prefix at {location}, found nothing; check the address")
    found = filesystem.get_file_info(FileSelector(key, recursive=True))
    data = [one for one in found if one.type == FileType.File and DATA_SUFFIXES & set(Path(one.path).suffixes)]
    if not data:
        raise SourceError(f"expected data files below {location}, found none; check the address")
    data.sort(key=lambda one: str(one.path))
    return [Object(f"s3://{one.path}", one.path[len(key) + 1 :], one.size) for one in data]


def _filesystem() -> Any:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    scheme, _, host = (endpoint or "").rpartition("://")
    return S3FileSystem(
        endpoint_override=host or None,
        scheme=scheme or None,
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=2),
    )


def _answered(location: str, ask: Callable[[], T], seconds: float = ANSWER_SECONDS) -> T:
    """What `ask` gives, in bounded time: it runs beside, for no library keeps its own time limits in every case."""
    answer: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(ask())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="samloop-s3", daemon=True)
    thread.start()
    thread.join(seconds)
    if answer:
        return answer[0]
    if failure and isinstance(failure[0], SourceError):
        raise failure[0]
    why = _why(failure[0]) if failure else f"no answer in {seconds:.0f} seconds"
    raise SourceError(
        f"{location} cannot be read ({why}); check the address, the network, and the credentials and endpoint in the "
        "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL)"
    )


def _why(error: BaseException) -> str:
    """The kind of an S3 error; its whole text can be a page long."""
    text = str(error)
    for sign, meaning in (
        ("NETWORK_CONNECTION", "no connection"),
        ("ACCESS_DENIED", "access denied"),
        ("NO_SUCH_BUCKET", "no such bucket"),
        ("INVALID_ACCESS_KEY_ID", "unknown access key"),
        ("SIGNATURE_DOES_NOT_MATCH", "wrong secret key"),
        ("HTTP response code: 404", "nothing is there"),
        ("HTTP response code: 403", "access denied"),
    ):
        if sign in text:
            return meaning
    return type(error).__name__
