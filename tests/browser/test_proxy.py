"""The dashboard behind a real nginx that keeps answers back until it has them whole."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.browser.conftest import Site, Visit, serving
from tests.daemon.harness import until
from tests.servers import free_port

NGINX = os.environ.get("ASYNCMQD_TEST_NGINX", "nginx")
PREFIX = "/tools/queues"
CONFIGURATION = """
daemon off;
worker_processes 1;
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log {place}/access.log;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    proxy_buffering on;
    proxy_buffers 8 64k;
    proxy_buffer_size 64k;
    gzip on;
    gzip_types *;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 404 "of another application"; }}
        location {prefix}/ {{ proxy_pass {url}; proxy_set_header Host $http_host; }}
    }}
}}
"""


class Proxied(NamedTuple):
    """A site, and nginx before it."""

    site: Site
    process: subprocess.Popen[bytes]
    place: Path


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Proxied]:
    with serving(f'prefix = "{PREFIX}"') as inner:
        port = free_port()
        text = CONFIGURATION.format(place=tmp_path, port=port, prefix=PREFIX, url=inner.url)
        (tmp_path / "nginx.conf").write_text(text)
        command = [NGINX, "-c", f"{tmp_path}/nginx.conf", "-e", f"{tmp_path}/error.log"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        until((tmp_path / "nginx.pid").exists)
        outer = inner._replace(url=f"http://127.0.0.1:{port}{PREFIX}")
        yield Proxied(outer, process, tmp_path)
        process.terminate()
        process.wait()


def test_a_proxy_that_buffers_delays_nothing(proxied: Proxied, visit: Visit) -> None:
    site = proxied.site
    page = visit("/queues/held?state=delayed", site=site)
    links = page.locator("a, link, script, form").evaluate_all(
        "all => all.map((each) => each.href || each.src || each.action)"
    )
    assert all(each.startswith(f"{site.url}/") for each in links), links
    page.evaluate(
        """(prefix) => {
            const source = new EventSource(`${prefix}/live`);
            window.begun = new Promise((resolve) => { source.onopen = () => resolve(true); });
            window.heard = new Promise((resolve) => { source.onmessage = () => resolve(true); });
        }""",
        PREFIX,
    )
    assert page.evaluate("window.begun")  # nginx has passed on the head, and no event yet
    site.store.add("held", "mark", ["through-nginx"], delay=3600)
    assert page.evaluate("window.heard")  # and the first event by itself
    page.wait_for_selector("text=through-nginx")
    page.click("text=through-nginx")
    page.click("text=Run now")
    page.wait_for_selector("h1 >> text=completed")
    _is_told(proxied, page)


def _is_told(proxied: Proxied, page: Any) -> None:
    """The daemon behind the proxy is gone, and comes back."""
    daemon = proxied.site.daemon
    page.goto(f"{proxied.site.url}/")
    page.wait_for_selector(".queues tr >> text=held")
    daemon.kill()
    page.wait_for_selector("#banner >> text=Not live since")
    assert page.locator(".queues tr >> text=held").count() == 1
    assert "nginx" not in page.inner_text("#banner")
    daemon.start()
    page.wait_for_selector("#token")
