"""The gateway with a certificate of its own, and behind a proxy that it believes."""

import datetime as dt
import ssl
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from domain.errors import Code, Refused
from infra.app import CORE
from infra.serve import running
from infra.settings import Settings
from infra.web import secured


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(begin).not_valid_after(begin + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    one, two = tmp_path / "gateway.pem", tmp_path / "gateway.key"
    one.write_bytes(certificate.public_bytes(Encoding.PEM))
    two.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    two.chmod(0o600)
    return one, two


async def test_a_client_that_trusts_the_certificate_speaks_tls(
    database: str, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    certificate, key = pair
    given = Settings(database=database, data=tmp_path / "data", port=0, tls_certificate=certificate, tls_key=key)
    async with running(CORE, given) as work:
        assert work.url.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(certificate))
        async with httpx.AsyncClient(verify=trusting, base_url=work.url) as client:
            assert (await client.get("/api/v1/health/live")).json() == {"ok": True}
        async with httpx.AsyncClient(base_url=work.url.replace("https", "http")) as plain:
            with pytest.raises(httpx.TransportError):
                await plain.get("/api/v1/health/live")


def test_what_cannot_serve_is_refused_with_the_setting_that_is_wrong(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    other = tmp_path / "other.key"
    other.write_text("no key")
    other.chmod(0o600)

    def refused(one: Path | None, two: Path | None) -> str:
        with pytest.raises(Refused) as refusal:
            secured(Settings(data=tmp_path, tls_certificate=one, tls_key=two))
        assert refusal.value.code is Code.SETTING
        return str(refusal.value)

    assert "belong together" in refused(certificate, None) and "belong together" in refused(None, key)
    assert "SPINOR_TLS_CERTIFICATE" in refused(certificate, other)
    assert "SPINOR_TLS_CERTIFICATE" in refused(tmp_path / "none.pem", key)
    key.chmod(0o644)
    assert "chmod 600" in refused(certificate, key)


def test_no_proxy_is_believed_unless_it_is_named(tmp_path: Path) -> None:
    assert secured(Settings(data=tmp_path)) == {"proxy_headers": False, "forwarded_allow_ips": []}
    named = secured(Settings(data=tmp_path, behind_proxy="10.0.0.1, 10.0.0.2"))
    assert named == {"proxy_headers": True, "forwarded_allow_ips": ["10.0.0.1", "10.0.0.2"]}
