"""A real nginx as a peer of the daemons, on a port of its own.

    with Nginx("location / { proxy_pass http://127.0.0.1:%d; }" % port) as nginx:
        socket.create_connection(("127.0.0.1", nginx.port))
"""
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

import harness

UNPACKED = harness.TOP / "build" / "tests" / "nginx" / "usr" / "sbin" / "nginx"


class Nginx:
    """`inside` goes into the server block, `http` beside it; `listen` behind the port ("ssl http2")."""

    def __init__(self, inside, http="", listen=""):
        self.program = shutil.which("nginx", path="/usr/sbin:/usr/bin") or str(UNPACKED)
        if not os.path.exists(self.program):
            pytest.fail("nginx is not there: `tests/run.sh install` unpacks it")
        self.folder = Path(tempfile.mkdtemp(prefix="nginx."))  # lives as long as this, over several tests
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        temporary = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(f"""
daemon off; master_process off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; {temporary}
  {http}
  server {{ listen 127.0.0.1:{self.port} {listen}; {inside} }}
}}
""")
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen([self.program, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        harness.wait_for(self.serves, 10, f"nginx serves; see {self.folder}/error.log")
        return self

    def serves(self):
        assert self.process.poll() is None, (self.folder / "error.log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
