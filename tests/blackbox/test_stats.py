"""The figures of versions that proxyd counts, and shows on its admin address."""
import json

import pytest

from harness import Stack, request

pytestmark = pytest.mark.threads

HANDLER = ("exports.handler = async (event) => {"
           " if (event.rawPath === '/throw') throw new Error('no');"
           " if (event.rawPath === '/slow') await new Promise(done => setTimeout(done, 150));"
           " return {statusCode: Number(event.rawPath.slice(1)) || 200, body: 'VERSION'}; }")


def stats(proxyd, app):
    answer = request(f"{proxyd.admin_url}/stats?app={app}")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json", answer.text
    return answer.json()


def test_each_version_has_its_own_figures_and_a_new_process_begins_anew():
    with Stack() as stack:
        stack.deploy("shop", {"index.js": HANDLER.replace("VERSION", "one")})
        for path, status in (("/", 200), ("/404", 404), ("/500", 500), ("/throw", 502), ("/slow", 200)):
            assert stack.proxyd.app("shop", path).status == status
        stack.deploy("shop", {"index.js": HANDLER.replace("VERSION", "two")})
        for _ in range(10):
            assert stack.proxyd.app("shop").text == "two"
        seen = stats(stack.proxyd, "shop")
        one, two = seen["versions"]
        assert (one["version"], one["requests"], one["calls"], one["errors"], one["proxyErrors"]) == (1, 5, 5, 2, 0)
        assert one["status"] == {"1xx": 0, "2xx": 2, "3xx": 0, "4xx": 1, "5xx": 2}
        assert one["faults"] == {"not-started": 0, "unknown": 0, "ran": 1}
        slow = [bound for bound, count in zip(seen["boundsMs"] + [None], one["latency"]["counts"]) if count]
        assert sum(one["latency"]["counts"]) == 5 and (slow[-1] is None or slow[-1] >= 150), one
        assert one["latency"]["sumUs"] >= 150_000
        assert (two["version"], two["calls"], two["errors"]) == (2, 10, 0)
        assert seen["missed"] == 0 and seen["cut"] is False
        stack.proxyd.restart()
        stack.proxyd.wait_ready()
        again = stats(stack.proxyd, "shop")
        assert again["versions"] == [] and again["start"] != seen["start"]


def test_stats_wants_the_name_of_one_app():
    with Stack() as stack:
        for query in ("", "?app=", "?app=A", "?app=" + "a" * 64, "?other=x", "?app=a%00", "?app=shop&more=1"):
            answer = request(f"{stack.proxyd.admin_url}/stats{query}")
            assert answer.status == 400 and json.loads(answer.text)["status"], (query, answer.text)
        assert stats(stack.proxyd, "nobody")["versions"] == []
        assert request(f"{stack.proxyd.admin_url}/stats?app=nobody", method="POST").status == 405
