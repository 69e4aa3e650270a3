"""What python-tuf raises, as this project's errors.

Two kinds, which their codes tell apart: REGISTRY_UNREACHABLE is weather (keep the last good copy,
try again); everything else is an alarm (keep the last good copy, and tell somebody).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tuf.api import exceptions

from security.errors import Code, SimpulError


@contextmanager
def mapped(where: str, root_sha256: bytes) -> Iterator[None]:
    """Raises python-tuf's errors as `SimpulError`.

    Args:
        where: Whence the bytes come, for the message: a URL or a folder.
        root_sha256: Of the root metadata that verification starts from.

    Raises:
        SimpulError: REGISTRY_UNREACHABLE, DIRECTORY_DEAD, DIRECTORY_ROLLBACK, DIRECTORY_UNTRUSTED.
    """
    try:
        yield
    except exceptions.DownloadLengthMismatchError as error:
        raise SimpulError(
            Code.DIRECTORY_UNTRUSTED,
            f"{where} serves a file that is larger than its kind may be: it is no directory, or a "
            "hostile one; check the address",
            where=where,
        ) from error
    except exceptions.DownloadError as error:
        raise SimpulError(
            Code.REGISTRY_UNREACHABLE,
            f"the directory at {where} can't be read: check that the registry runs and that this "
            "machine reaches it",
            where=where,
        ) from error
    except exceptions.ExpiredMetadataError as error:
        raise SimpulError(
            Code.DIRECTORY_DEAD,
            f"the directory at {where} has expired: reach the registry, or bring a fresh copy; if "
            "both are well, look at this machine's clock",
            where=where,
        ) from error
    except exceptions.UnsignedMetadataError as error:
        raise SimpulError(
            Code.DIRECTORY_UNTRUSTED,
            f"the directory at {where} is not signed by the keys that root.json (SHA-256 "
            f"{root_sha256.hex()[:16]}…) names: it is another federation's, or forged",
            where=where,
            root_sha256=root_sha256.hex(),
        ) from error
    except exceptions.BadVersionNumberError as error:
        raise SimpulError(
            Code.DIRECTORY_ROLLBACK,
            f"the directory at {where} is older than what this node has seen: the last good copy "
            "stays in use; tell the registry's operator",
            where=where,
        ) from error
    # ValueError: what a signed but malformed file makes python-tuf raise.
    except (exceptions.RepositoryError, ValueError) as error:
        raise SimpulError(
            Code.DIRECTORY_UNTRUSTED,
            f"what {where} serves is not a whole directory of this federation: check the address, "
            "and whether something between (a portal, a proxy) answers in its place",
            where=where,
        ) from error
