"""`cmake --install` puts everything in place, and the units, users and folders agree with each other."""
import os
import re
import subprocess
import tempfile

from tree import build_dir

EXPECTED = [
    "bin/proxyd", "bin/managerd", "bin/lambda-local",
    "lib/systemd/system/proxyd.service", "lib/systemd/system/managerd.service", "lib/systemd/system/proxyd@.service",
    "lib/systemd/system/proxyd-http.socket", "lib/systemd/system/proxyd-https.socket", "lib/systemd/system/proxyd-admin.socket",
    "lib/sysusers.d/app-orchestrator.conf", "lib/tmpfiles.d/app-orchestrator.conf",
    "share/doc/app-orchestrator/examples/hello/index.js", "share/doc/app-orchestrator/environment.example",
    "share/app-orchestrator/runtimes/", "share/app-orchestrator/deploy.sh",
]
UNITS = ["deploy/systemd/proxyd.service.in", "deploy/systemd/managerd.service.in"]

EXAMPLES = [{UNITS[0]: "[Service]\nUser=nobody\nReadWritePaths=/var/lib/other\n", UNITS[1]: ""}]


def check(tree):
    return units_agree(tree) + installs()


def units_agree(tree):
    findings = []
    users = tree.files.get("deploy/systemd/sysusers.conf", "")
    folders = tree.files.get("deploy/systemd/tmpfiles.conf", "")
    for path in UNITS:
        unit = tree.files.get(path, "")
        for user in re.findall(r"^User=(.+)$", unit, re.M):
            if not re.search(rf"^u {re.escape(user)}\s", users, re.M):
                findings.append(f"{path}: sysusers.conf does not make the user {user}")
        for line in re.findall(r"^ReadWritePaths=(.+)$", unit, re.M):
            for folder in line.split():
                if not re.search(rf"^d {re.escape(folder)}\s", folders, re.M):
                    findings.append(f"{path}: tmpfiles.conf does not make {folder}")
    proxy = tree.files.get(UNITS[0], "")
    for secret in ("state", "keys", "packages"):
        if not re.search(rf"^d \S+/{secret}\s+0700 managerd ", folders, re.M) or f"-/var/lib/app-orchestrator/{secret}" not in proxy:
            findings.append(f"{secret}/ is not kept away from proxyd")
    return findings


def installs():
    with tempfile.TemporaryDirectory() as stage:
        done = subprocess.run(["cmake", "--install", str(build_dir()), "--prefix", "/usr"], env={**os.environ, "DESTDIR": stage},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            return [f"cmake --install failed: {done.stdout[-500:]}"]
        findings = [f"{path} is not installed" for path in EXPECTED if not os.path.exists(os.path.join(stage, "usr", path))]
        for unit in ("proxyd", "managerd"):
            file = os.path.join(stage, f"usr/lib/systemd/system/{unit}.service")
            if os.path.exists(file):
                text = open(file, encoding="utf-8").read()
                program = re.search(r"^ExecStart=(\S+)", text, re.M)
                if "@CMAKE" in text or not program or not program[1].endswith(f"/bin/{unit}"):
                    findings.append(f"{unit}.service does not start {unit}")
        return findings
