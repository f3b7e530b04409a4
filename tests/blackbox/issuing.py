"""The providers of AWS credentials, played: an instance's metadata service, a container's agent, STS. Keys live a few seconds.

    with Issuer(life=3) as issuer:
        ... variables from issuer.instance(), issuer.container(), issuer.web_identity(), issuer.role() ...
        issuer.valid(key, token)       # whether AWS would still take them
"""
import calendar
import http.server
import json
import threading
import time
from urllib.parse import parse_qs

import aws_calls
import harness
from sigv4_oracle import Server, find_problem

ROLE = "arn:aws:iam::123456789012:role/apps"
BASE = {"AWS_REGION": "us-east-1"}
GRACE = 1.0  # seconds that AWS takes a key beyond its end


class Issuer:
    def __init__(self, life=3):
        self.life, self.lock = life, threading.Lock()
        self.keys = {}          # id -> (secret, token, end)
        self.asked = []         # (kind, what came), in order
        self.sessions = set()   # of the metadata service
        self.broken = {}        # kind -> (status, body): the answer instead
        self.skew = 0           # seconds that AWS's clock is ahead
        self.folder = harness.scratch("issuer.")
        self.authorization, self.identity_token = "Basic one", "web-token-1"
        (self.folder / "authorization").write_text(self.authorization + "\n")
        (self.folder / "web-token").write_text(self.identity_token + "\n")
        self.base = ("BASEKEY", "base/secret")

    def __enter__(self):
        outer = self

        class Handler(IssuerHandler):
            owner = outer

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    def new(self, kind):
        with self.lock:
            number = len(self.keys) + 1
            key, secret, token = f"{kind.upper()}{number}", f"{kind}/secret+{number}", f"{kind}-token-{number}=="
            self.keys[key] = (secret, token, time.time() + self.life)
        return key, secret, token, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.life + 0.999))

    def valid(self, key, token):
        with self.lock:
            secret, expected, end = self.keys.get(key, (None, None, 0))
        return expected == token and time.time() < end + GRACE + 1

    def secrets(self):
        with self.lock:
            return {key: secret for key, (secret, _, _) in self.keys.items()}

    def count(self, kind):
        with self.lock:
            return sum(1 for asked, _ in self.asked if asked == kind)

    # what a daemon is given to find each of them

    def instance(self):
        return {**BASE, "AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}

    def container(self):
        return {**BASE, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/v2/credentials/x",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.folder / "authorization")}

    def web_identity(self):
        return {**BASE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(self.folder / "web-token"), "AWS_ROLE_ARN": ROLE,
                "AWS_ENDPOINT_URL_STS": self.url}

    def role(self, more=""):
        (self.folder / "config").write_text(f"[default]\nrole_arn = {ROLE}\nsource_profile = base\nexternal_id = x/1\n{more}"
                                            f"[profile base]\naws_access_key_id = {self.base[0]}\naws_secret_access_key = {self.base[1]}\n")
        return {**BASE, "AWS_CONFIG_FILE": str(self.folder / "config"), "AWS_ENDPOINT_URL_STS": self.url}

    def process(self):
        (self.folder / "process.config").write_text("[default]\ncredential_process = /usr/bin/curl -sS --fail --max-time 5 "
                                                    f"{self.url}/process\n")
        return {**BASE, "AWS_CONFIG_FILE": str(self.folder / "process.config")}

    def every(self):
        return {"instance": self.instance(), "container": self.container(), "web": self.web_identity(), "role": self.role(),
                "process": self.process()}


class IssuerHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    owner = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer()

    do_PUT = do_POST = do_GET

    def send(self, status, body=b""):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response_only(status)
        self.send_header("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + self.owner.skew)))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        kind, give = self.route(body)
        with self.owner.lock:
            self.owner.asked.append((kind, (dict(self.headers), body)))
            broken = self.owner.broken.get(kind)
        if kind in ("role", "web"):
            aws_calls.note("sts", self.command, self.path, self.headers, body)
        if broken:
            self.send(*broken)
        else:
            give(body)

    def route(self, body):
        if self.path.startswith("/latest/"):
            return "instance", self.instance
        if self.path == "/process":
            return "process", lambda _: self.send(200, self.json("process", "SessionToken", Version=1))
        if self.path == "/v2/credentials/x":
            return "container", self.container
        return ("web" if b"WithWebIdentity" in body else "role"), self.sts

    def json(self, kind, token_name, **more):
        key, secret, token, end = self.owner.new(kind)
        return json.dumps({"AccessKeyId": key, "SecretAccessKey": secret, token_name: token, "Expiration": end, **more})

    def instance(self, _):
        if self.path == "/latest/api/token":
            if self.command != "PUT" or not 1 <= int(self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "0")) <= 21600:
                self.send(400)
                return
            session = f"session-{time.monotonic_ns()}=="
            self.owner.sessions.add(session)
            self.send(200, session)
        elif self.headers.get("X-aws-ec2-metadata-token") not in self.owner.sessions:
            self.send(401)
        elif self.path == "/latest/meta-data/iam/security-credentials/":
            self.send(200, "node-role")
        elif self.path == "/latest/meta-data/iam/security-credentials/node-role":
            self.send(200, self.json("instance", "Token", Code="Success", Type="AWS-HMAC"))
        else:
            self.send(404)

    def container(self, _):
        if self.headers.get("Authorization") == self.owner.authorization:
            self.send(200, self.json("container", "Token", RoleArn=ROLE))
        else:
            self.send(401, '{"message": "no"}')

    def refuse(self, status, code, message):
        self.send(status, '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
                          f"<Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>")

    def sts(self, body):
        form = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        web = form["Action"] == "AssumeRoleWithWebIdentity"
        if form["Version"] != "2011-06-15" or form["RoleArn"] != ROLE or not form["RoleSessionName"]:
            self.refuse(400, "ValidationError", "not what was expected")
        elif web and form["WebIdentityToken"] != self.owner.identity_token:
            self.refuse(400, "InvalidIdentityToken", "not this one")
        elif not web and self.signature_is_wrong(body):
            pass
        elif not web and form.get("ExternalId") != "x/1":
            self.refuse(403, "AccessDenied", "the external id is wrong")
        else:
            self.give_role("web" if web else "role", form["Action"])

    def signature_is_wrong(self, body):
        now = time.time() + self.owner.skew
        sent = calendar.timegm(time.strptime(self.headers.get("X-Amz-Date", "19700101T000000Z"), "%Y%m%dT%H%M%SZ"))
        if abs(now - sent) > 300:
            self.refuse(403, "SignatureDoesNotMatch", "Signature expired")
            return True
        # the checker holds the date against this machine's clock, which is right when AWS's is not ahead
        problem = None if self.owner.skew else find_problem(self.command, self.path, list(self.headers.items()), body,
                                                            dict([self.owner.base]), "us-east-1", {"sts"})
        if problem:
            self.refuse(403, "SignatureDoesNotMatch", problem)
        return bool(problem)

    def give_role(self, kind, action):
        key, secret, token, end = self.owner.new(kind)
        self.send(200, f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>'
                       f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>"
                       f"<Expiration>{end}</Expiration></Credentials></{action}Result></{action}Response>")
