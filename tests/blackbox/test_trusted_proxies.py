"""PROXYD_TRUSTED_PROXIES: who the client is behind proxies that are trusted, and nobody's word but theirs."""
import socket

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, version
from nginx import Nginx

ROUTES = [app("a"), app("old", [version("old", payload_format=1)]), app("alb", [version("alb", payload_format=3)])]


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(scope="module")
def behind(aws):
    with Proxy(aws, routes=ROUTES, options={"PROXYD_TRUSTED_PROXIES": "127.0.0.1, 127.0.0.7/32, fd00::/8", "PROXYD_HTTPS_REDIRECT": "true",
                                            "PROXYD_HSTS_MAX_AGE_S": "60"}) as made:
        yield made


def headers_of(event):
    return {name.lower(): value for name, value in event["headers"].items()}


def ask(proxyd, aws, name="a", path="/", **headers):
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    response = proxyd.app(name, path, headers={"X-Forwarded-Proto": "https", **headers})
    assert response.status == 200, response
    return response, aws.last().event


def test_the_client_is_found_behind_the_trusted_ones(behind, aws):
    response, event = ask(behind, aws, X_Forwarded_For="6.6.6.6, 203.0.113.9:4711, 127.0.0.7")
    assert event["requestContext"]["http"]["sourceIp"] == "203.0.113.9"
    headers = headers_of(event)
    assert headers["x-forwarded-for"] == "6.6.6.6, 203.0.113.9:4711, 127.0.0.7, 127.0.0.1"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("https", "443")
    line = behind.line_of(response)
    assert (line["client"], line["peer"]) == ("203.0.113.9", "127.0.0.1")


@pytest.mark.parametrize("name", ["old", "alb"])
def test_the_other_formats_see_the_same_client(behind, aws, name):
    _, event = ask(behind, aws, name, X_Forwarded_For="[2001:db8::5]:99", X_Forwarded_Port="8443")
    if name == "old":
        assert event["requestContext"]["identity"]["sourceIp"] == "2001:db8::5"
    headers = headers_of(event)
    assert headers["x-forwarded-for"] == "[2001:db8::5]:99, 127.0.0.1" and headers["x-forwarded-port"] == "8443"


def test_garbage_leaves_the_last_address_that_is_one(behind, aws):
    response, event = ask(behind, aws, X_Forwarded_For="203.0.113.9, <script>")
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1" and "peer" not in behind.line_of(response)


def test_lines_of_one_header_are_one_list(behind, aws):
    raw = b""
    with socket.create_connection(behind.address, timeout=20) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a.localhost\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 6.6.6.6\r\n"
                     b"X-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n")
        while piece := peer.recv(65536):
            raw += piece
    assert raw.startswith(b"HTTP/1.1 200")
    assert aws.last().event["requestContext"]["http"]["sourceIp"] == "203.0.113.9"


def test_a_trusted_peers_https_is_https(behind):
    plain = harness.request(behind.url + "/x?y=1", host="a.localhost")
    assert plain.status == 308 and plain.header("Location") == "https://a.localhost/x?y=1"
    assert behind.app("a", headers={"X-Forwarded-Proto": "http"}).status == 308
    assert behind.app("a", headers={"X-Forwarded-Proto": "https, http"}).status == 308, "what the peer itself said counts"
    secure = behind.app("a", headers={"X-Forwarded-Proto": "https"})
    assert secure.status == 200 and secure.header("Strict-Transport-Security") == "max-age=60"


@pytest.mark.parametrize("trusted", [None, "10.0.0.0/8,::1"])
def test_nobody_else_is_believed(aws, trusted):
    with Proxy(aws, routes=ROUTES, options={"PROXYD_TRUSTED_PROXIES": trusted}) as proxyd:
        response = proxyd.app("a", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"})
        event = aws.last().event
        assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
        headers = headers_of(event)
        assert headers["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
        assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("http", str(proxyd.address[1]))
        line = proxyd.line_of(response)
        assert line["client"] == "127.0.0.1" and "peer" not in line


@pytest.mark.parametrize("value, named", [("10.0.0.0/33", "10.0.0.0/33"), ("10.0.0.1/8", "10.0.0.1/8"), ("127.0.0.1, proxy", "proxy")])
def test_a_network_that_is_none_ends_the_start_with_a_sentence(value, named):
    proxyd = harness.Proxyd(options={"PROXYD_TRUSTED_PROXIES": value})
    proxyd.launch()
    proxyd.wait(expect=2)
    assert f'"{named}" is no network' in proxyd.log_text()


@pytest.fixture(scope="module")
def nginx(behind):
    """A real balancer in front: it appends to X-Forwarded-For and says that clients speak HTTPS."""
    with Nginx(f"""location / {{
        proxy_pass http://{behind.listen}; proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto https;
    }}""") as made:
        yield made.port


def test_behind_nginx_a_client_cannot_choose_its_address(behind, aws, nginx):
    with socket.create_connection(("127.0.0.1", nginx), timeout=20, source_address=("127.0.0.2", 0)) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a.localhost\r\nX-Forwarded-For: 10.9.9.9\r\nX-Forwarded-Proto: http\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200"), answer
    event = aws.last().event
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.2"
    assert headers_of(event)["x-forwarded-for"] == "10.9.9.9, 127.0.0.2, 127.0.0.1" and headers_of(event)["x-forwarded-proto"] == "https"
    line = harness.wait_for(lambda: next((line for line in behind.access_lines() if line["client"] == "127.0.0.2"), None), 10, "it is logged")
    assert line["peer"] == "127.0.0.1"
