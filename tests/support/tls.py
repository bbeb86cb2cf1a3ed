"""Certificates of a private certificate authority that exists for one test session."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """A certificate authority and what servers need to present its certificates.

        with Simulator(tls=certificates.localhost) as simulator:
            requests.post(f"{simulator.url}/events", verify=certificates.ca_file, ...)

    Attributes:
        ca_file: The authority's certificate, for REQUESTS_CA_BUNDLE.
        localhost: A valid certificate.
        wrong_host: A certificate for another host.
        expired: A certificate for localhost that has expired.
    """

    ca_file: str
    localhost: ssl.SSLContext
    wrong_host: ssl.SSLContext
    expired: ssl.SSLContext


def create_certificates(folder: Path) -> Certificates:
    """Create an authority and its certificates; write the authority's own into a folder."""
    authority = trustme.CA()
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))

    def context(host: str, not_after: datetime | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(host, not_after=not_after).configure_cert(context)
        return context

    return Certificates(
        ca_file=str(ca_file),
        localhost=context("localhost"),
        wrong_host=context("elsewhere.example"),
        expired=context("localhost", datetime(2001, 1, 1, tzinfo=UTC)),
    )
