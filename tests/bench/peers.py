"""The servers that proxyd is compared with: nginx and HAProxy that only pass on, nginx with Lua that does the whole job.

Debian's packages are unpacked below build/bench/peers (`unpack`), not installed: that would start servers.
Each serves with one process, pinned to a processor, its access log on.
"""
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import harness

PACKAGES = ["nginx", "libnginx-mod-http-ndk", "libnginx-mod-http-lua", "lua-resty-core", "lua-resty-lrucache", "lua-cjson", "libluajit2-5.1-2",
            "libluajit2-5.1-common", "haproxy", "liblua5.3-0", "libopentracing1", "libopentracing-c-wrapper0"]
UNPACKED = harness.TOP / "build" / "bench" / "peers"
LIBRARIES = UNPACKED / "usr" / "lib" / "x86_64-linux-gnu"
HERE = Path(__file__).resolve().parent


def unpack():
    """Fetches and unpacks what is missing."""
    UNPACKED.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if (UNPACKED / f".{package}").exists():
            continue
        subprocess.run(["apt-get", "download", "-qq", package], cwd=UNPACKED, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for archive in UNPACKED.glob("*.deb"):
            subprocess.run(["dpkg", "-x", archive.name, "."], cwd=UNPACKED, check=True)
            archive.unlink()
        (UNPACKED / f".{package}").touch()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Peer:
    """A server as a process on processor `cpu`; `address` is where it serves, `pid` whose CPU counts."""
    name = ""

    def __init__(self, upstream, tls=None, cpu=0):
        self.upstream, self.tls, self.cpu = upstream, tls, cpu
        self.folder, self.port = harness.scratch("peer."), free_port()
        self.address = f"127.0.0.1:{self.port}"

    def start(self):
        environment = {**os.environ, "LD_LIBRARY_PATH": str(LIBRARIES)}
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(["taskset", "-c", str(self.cpu), *map(str, self.command())], env=environment, stdout=output,
                                            stderr=subprocess.STDOUT, cwd=self.folder)
        harness.wait_for(self.serves, 15, f"{self.name} serves; see {self.folder}/output")
        return self

    def serves(self):
        assert self.process.poll() is None, (self.folder / "output").read_text() + self.log()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def log(self):
        path = self.folder / "error.log"
        return path.read_text() if path.exists() else ""

    @property
    def pid(self):
        return self.process.pid

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Nginx(Peer):
    name = "nginx"
    modules, http = (), ""

    def inside(self):
        return "location / { proxy_pass http://lambda; proxy_http_version 1.1; proxy_set_header Connection ''; }"

    def main(self):
        return f"upstream lambda {{ server 127.0.0.1:{self.upstream}; keepalive 512; keepalive_requests 10000000; }}"

    def command(self):
        modules = "".join(f"load_module {UNPACKED}/usr/lib/nginx/modules/{name}.so;\n" for name in self.modules)
        temporary = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        secure = f"ssl_certificate {self.tls[0]}; ssl_certificate_key {self.tls[1]};" if self.tls else ""
        (self.folder / "nginx.conf").write_text(f"""{modules}
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 60000; pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{ worker_connections 30000; }}
http {{
  access_log {self.folder}/access.log; {temporary}
  keepalive_requests 10000000; keepalive_timeout 600s; client_max_body_size 16m; client_body_buffer_size 8m; tcp_nodelay on;
  {self.main()}
  server {{ listen 127.0.0.1:{self.port} backlog=4096 {'ssl' if self.tls else ''}; {secure} {self.inside()} }}
}}
""")
        return [UNPACKED / "usr/sbin/nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"]


class NginxLua(Nginx):
    name = "nginx+lua"
    modules = ("ndk_http_module", "ngx_http_lua_module")

    def main(self):
        share = UNPACKED / "usr/share/lua/5.1"
        native = f"{UNPACKED}/usr/lib/x86_64-linux-gnu/lua/5.1/?.so"
        return f"""lua_package_path "{HERE}/?.lua;{share}/?.lua;;"; lua_package_cpath "{native};;"; lua_socket_log_errors off;
  init_worker_by_lua_block {{ require("gateway").start({self.upstream}, "127.0.0.1:{self.upstream}") }}"""

    def inside(self):
        return 'location / { content_by_lua_block { require("gateway").serve() } }'


class Haproxy(Peer):
    name = "haproxy"

    def command(self):
        secure = ""
        if self.tls:
            (self.folder / "both.pem").write_text(Path(self.tls[0]).read_text() + Path(self.tls[1]).read_text())
            secure = f"ssl crt {self.folder}/both.pem"
        (self.folder / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 9000
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 600s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:{self.port} backlog 4096 {secure}
  default_backend lambda
backend lambda
  server one 127.0.0.1:{self.upstream} maxconn 4000
""")
        return [UNPACKED / "usr/sbin/haproxy", "-db", "-f", self.folder / "haproxy.cfg"]


def version(program, option, pattern):
    """What a peer says of itself, for the table's heading."""
    said = subprocess.run([UNPACKED / "usr/sbin" / program, option], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "LD_LIBRARY_PATH": str(LIBRARIES)}).stdout
    found = re.search(pattern, said)
    return found[1] if found else "?"
