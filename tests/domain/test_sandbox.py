"""The names of sandboxes: what is written can be read back, and nothing else is read."""

import pytest

from domain.errors import Code, Refused
from domain.sandbox import LIMIT, Pfn, check_announced, check_key, parse_pfn, pfn

SHA256 = "0123456789abcdef" * 4
PFN = f"SB:SandboxSE|/S3/sandboxes/lhcb/lhcb_user/alice/sha256:{SHA256}.tar.bz2"


def test_a_pfn_is_made_from_its_parts_and_read_back() -> None:
    assert pfn("sandboxes", "lhcb", "lhcb_user", "alice", SHA256, "tar.bz2") == PFN
    assert parse_pfn(PFN) == Pfn("sandboxes", "lhcb", "lhcb_user", "alice", "sha256", SHA256, "tar.bz2")
    assert str(parse_pfn(PFN)) == PFN


def test_the_storage_element_may_be_left_out() -> None:
    assert parse_pfn(PFN.split("|")[1]) == parse_pfn(PFN)
    assert parse_pfn(PFN).path == PFN.split("|")[1]


def test_the_key_is_the_pfn_without_store_and_bucket() -> None:
    assert parse_pfn(PFN).key == f"lhcb/lhcb_user/alice/sha256:{SHA256}.tar.bz2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        PFN + "\n",
        PFN[:-8],
        PFN.replace("S3", "s3"),
        PFN.replace("SB:SandboxSE", "SB:Sandbox2"),
        PFN.replace("sandboxes", "Sandboxes"),
        PFN.replace("sandboxes", "ab"),
        PFN.replace("alice", ".."),
        PFN.replace("alice", "."),
        PFN.replace("alice", ""),
        PFN.replace("alice", "alice/bob"),
        PFN.replace("lhcb/lhcb_user", "../.."),
        PFN.replace("alice", "al\0ice"),
        PFN.replace(SHA256, SHA256.upper()),
        PFN.replace(SHA256, SHA256[1:]),
        PFN.replace("sha256", "sha256/"),
        PFN.replace("tar.bz2", "TAR"),
        PFN.replace("alice", "a" * 200),
    ],
)
def test_what_is_no_pfn_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_pfn(text)
    assert refused.value.code is Code.MALFORMED


@pytest.mark.parametrize("owner", ["", "..", "a/b", ".hidden", "a" * 200])
def test_no_pfn_is_made_that_could_not_be_read_back(owner: str) -> None:
    with pytest.raises(Refused):
        pfn("sandboxes", "lhcb", "lhcb_user", owner, SHA256, "tar.bz2")


@pytest.mark.parametrize("key", ["", "/", "a/", "/a", "..", "a/../b", "a/.b", "a\\b", "a\nb", "x" * 256, "\ud800"])
def test_a_key_is_made_of_plain_names(key: str) -> None:
    with pytest.raises(Refused):
        check_key(key)


def test_the_greatest_sandbox_is_accepted_and_one_byte_more_is_not() -> None:
    check_announced(SHA256, LIMIT)
    with pytest.raises(Refused) as refused:
        check_announced(SHA256, LIMIT + 1)
    assert refused.value.code is Code.SANDBOX_TOO_LARGE
    assert refused.value.parameters == {"size": LIMIT + 1, "limit": LIMIT}
