"""URLs that lead inside, through every endpoint that takes one: nothing inside is ever asked."""

from __future__ import annotations

import pytest

from tests.serve.hostile.process import PUBLIC
from tests.serve.hostile.site import Site
from tests.serve.hostile.target import MARK, Target, fine
from tests.serve.hostile.test_pictures import ended, results

HOSTS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "127.000.000.001",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1%25eth0]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[fd00::1]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "224.0.0.1",
    "255.255.255.255",
    "metadata.google.internal",
    "\u2460\u2461\u2466.0.0.1",
    "127\u30020\u30020\u30021",
    "inside.test",
    "mixed.test",
    "metadata.test",
    "mapped.test",
    "nat64.test",
    "sixtofour.test",
    "loopback6.test",
    "unique.test",
    "zero.test",
    "nowhere.test",
    f"{PUBLIC}@127.0.0.1",
    f"user:secret@{PUBLIC}",
    f"127.0.0.1#@{PUBLIC}",
    f"{PUBLIC}\\@127.0.0.1",
    f"{PUBLIC}%00.127.0.0.1",
    f"{PUBLIC}%2f@127.0.0.1",
    f"{PUBLIC}\t.127.0.0.1",
    f"{PUBLIC}\r\nHost: inside",
]
SCHEMES = [
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "ftp://127.0.0.1/a",
    "gopher://127.0.0.1:INSIDE/_GET",
    "dict://127.0.0.1:INSIDE/a",
    "unix:///run/a.sock",
    "jar:http://127.0.0.1:INSIDE/!/",
    "//127.0.0.1:INSIDE/a",
    "http:127.0.0.1:INSIDE/a",
    "http:///127.0.0.1:INSIDE/a",
    "http://",
    "http://site.test:22/",
    "http://site.test:99999/",
    "http://site.test:-1/",
    "",
    "a" * 100_000,
]


def urls(site: Site) -> list[str]:
    """All of them, to the listener inside; each query has the mark."""
    found = [f"http://{host}:{site.inside}/a.png?{MARK}" for host in HOSTS]
    found += [f"https://{host}/a.png?{MARK}" for host in HOSTS[:4]]
    found += [scheme.replace("INSIDE", str(site.inside)) for scheme in SCHEMES]
    # By a public server, which answers with the way inside.
    far = [f"http://{host}:{site.inside}/{MARK}" for host in ("127.0.0.1", "[::1]", "inside.test")]
    far += ["http://169.254.169.254/latest/", "file:///etc/passwd", "//127.0.0.1/", "\\\\a\\b"]
    found += [f"http://site.test:{site.port}/to?{there}" for there in far]
    again = f"http://site.test:{site.port}/to?http://127.0.0.1:{site.inside}/"
    found.append(f"http://site.test:{site.port}/to?{again}")
    return found


def test_a_public_picture_is_fetched(target: Target, site: Site) -> None:
    url = f"http://site.test:{site.port}/a.png?{MARK}"
    answer = target.json("/v1/scan", {"images": [{"url": url}]})

    (record,) = answer.json()["records"]
    assert record["failure"] is None
    assert site.asked == [f"site.test:{site.port}"]


def test_scan_fetches_nothing_inside(target: Target, site: Site) -> None:
    all_of_them = urls(site)
    for first in range(0, len(all_of_them), 4):
        images = [{"url": url} for url in all_of_them[first : first + 4]]
        answer = target.json("/v1/scan", {"images": images})

        assert answer.status_code == 200, answer.text
        assert MARK not in answer.text
        for record, image in zip(answer.json()["records"], images, strict=True):
            assert record["failure"]["code"] in ("url_refused", "unreadable"), image
            assert record["failure"]["stage"] == "fetch"
            assert record["action"] != "allow"
    assert not site.intrusions


def test_moderations_fetches_nothing_inside(target: Target, site: Site) -> None:
    for url in urls(site):
        part = {"type": "image_url", "image_url": {"url": url}}
        answer = target.json("/v1/moderations", {"input": [part]})

        assert MARK not in answer.text
        if answer.status_code == 200:
            (result,) = answer.json()["results"]
            assert result["flagged"] is True, url
        else:
            assert fine(answer.status_code, answer.content) in ("usage", "url_refused")
    assert not site.intrusions


def test_jobs_fetch_nothing_inside(target: Target, site: Site) -> None:
    images = [{"url": url} for url in urls(site) if len(url) < 2000]
    answer = target.json("/v1/jobs", {"images": images})

    assert MARK not in answer.text
    if answer.status_code == 202:
        for line in results(target, ended(target, answer.json()["id"])):
            assert line["action"] != "allow"
            assert MARK not in str(line["failure"])
    assert not site.intrusions


def test_webhooks_are_not_sent_inside(target: Target, site: Site) -> None:
    good = f"http://site.test:{site.port}/a.png"
    for url in [*urls(site)[:12], f"http://inside.test:{site.inside}/hook"]:
        answer = target.json("/v1/jobs", {"images": [{"url": good}], "webhook": url})

        if answer.status_code == 202:
            ended(target, answer.json()["id"])
        else:
            assert fine(answer.status_code, answer.content) is not None
    assert not site.intrusions


@pytest.mark.parametrize("host", ["rebind.test", "twice.test"])
def test_a_name_that_changes_its_mind_is_asked_once(target: Target, site: Site, host: str) -> None:
    """First it is public, then it is loopback: by then nothing is asked of it any more."""
    inner = f"http://{host}:{site.inside}/"
    first = (
        f"http://{host}:{site.port}/a.png"
        if host == "rebind.test"
        else f"http://{host}:{site.port}/to?{inner}"
    )
    codes = []
    for url in (first, inner, inner):
        answer = target.json("/v1/scan", {"images": [{"url": url}]})
        (record,) = answer.json()["records"]
        codes.append(record["failure"] and record["failure"]["code"])

    refused = "url_refused"
    assert codes == [None if host == "rebind.test" else refused, refused, refused]
    assert not site.intrusions
