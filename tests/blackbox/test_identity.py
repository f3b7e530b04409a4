"""Which credentials are chosen, held against botocore: the same files and variables give the same provider, key and role."""
import json
import os
import random
import subprocess
from unittest import mock

import botocore.credentials
import botocore.session
import botocore.utils
import pytest

import harness

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ROLE = "arn:aws:iam::123456789012:role/apps"
INSTANCE = {"role_name": "node", "access_key": "IMDS", "secret_key": "s", "token": "t", "expiry_time": "2036-01-01T00:00:00Z"}
CONTAINER = {"AccessKeyId": "ECS", "SecretAccessKey": "s", "Token": "t", "Expiration": "2036-01-01T00:00:00Z"}
STATIC = "aws_access_key_id = FILEKEY\naws_secret_access_key = file/secret\n"
OTHER = "aws_access_key_id = OTHERKEY\naws_secret_access_key = other/secret\naws_session_token = other-token\n"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
RELATIVE = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x?id=1"}
NO_INSTANCE = {"AWS_EC2_METADATA_DISABLED": "true"}
PROCESS = "credential_process = {program} one \"two words\" 'three  words' fo\\ ur\n"


# -- ours and theirs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chooser():
    process = subprocess.Popen([str(harness.binary("tools/identity_cli"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env=harness.clean_environment("/nonexistent"))

    def ask(variables):
        process.stdin.write(json.dumps(variables) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, f"identity_cli ended at {variables}"
        return json.loads(line)

    yield ask
    process.stdin.close()
    assert process.wait(30) == 0


class Process:
    """Stands for the command that botocore would run: keeps its words, gives keys."""

    returncode = 0
    words = None

    def __init__(self, words, **_):
        Process.words = words

    def communicate(self):
        return json.dumps({"Version": 1, "AccessKeyId": "PROC", "SecretAccessKey": "s"}).encode(), b""


def described(credentials, seen):
    """What botocore chose, in the words of identity_cli."""
    names = {"env": "environment", "iam-role": "instance", "custom-process": "process", "container-role": "container",
             "assume-role-with-web-identity": "web-identity"}
    told = {"provider": names.get(credentials.method, credentials.method)}
    if credentials.method in ("env", "shared-credentials-file", "config-file"):
        told.update(key=credentials.access_key, secret=credentials.secret_key, token=credentials.token)
        expires = getattr(credentials, "_expiry_time", None)
        told["expires"] = expires and int(expires.timestamp() * 1000)
    elif credentials.method == "container-role":
        told.update(url=seen["url"], authorization=(seen["headers"] or {}).get("Authorization"))
    elif credentials.method == "iam-role":
        told.update(url=seen["instance"], timeoutMs=seen["timeout"] * 1000, attempts=seen["attempts"])
    elif credentials.method == "custom-process":
        told["command"] = Process.words
    else:
        fetcher = credentials._refresh_using.__self__
        told.update(role=fetcher._role_arn, session=None if fetcher._using_default_session_name else fetcher._assume_kwargs["RoleSessionName"],
                    external=fetcher._assume_kwargs.get("ExternalId"), duration=fetcher._assume_kwargs.get("DurationSeconds"))
        if credentials.method == "assume-role":
            told["source"] = described(fetcher._source_credentials, seen)
        else:
            told["tokenFile"] = fetcher._web_identity_token_loader._web_identity_token_path
    return {name: value for name, value in told.items() if value is not None and value != ""}


def theirs(variables):
    """What botocore makes of them; None when it finds nothing or gives up."""
    seen = {}

    def retrieve_full_uri(self, url, headers=None):
        self._validate_allowed_url(url)
        seen.update(url=url, headers=headers)
        return CONTAINER

    def retrieve_role(self):
        if self._disabled:
            return {}
        seen.update(instance=self._base_url.rstrip("/"), timeout=self._timeout, attempts=self._num_attempts)
        return INSTANCE

    with mock.patch.dict(os.environ, variables, clear=True), \
            mock.patch.object(botocore.utils.ContainerMetadataFetcher, "retrieve_full_uri", retrieve_full_uri), \
            mock.patch.object(botocore.utils.InstanceMetadataFetcher, "retrieve_iam_role_credentials", retrieve_role), \
            mock.patch.object(botocore.credentials.ProcessProvider.__init__, "__defaults__", (Process,)):
        try:
            credentials = botocore.session.Session().get_credentials()
        except Exception as problem:  # noqa: BLE001 - whatever it is, it chose nothing
            return None, f"{type(problem).__name__}: {problem}"
    return (None, "nothing found") if credentials is None else (described(credentials, seen), "")


def without_defaults(identity):
    """Our own name for the session is botocore's 'none given'."""
    if identity and identity.get("session") == "app-orchestrator":
        del identity["session"]
    if identity and "source" in identity:
        without_defaults(identity["source"])
    return identity


def write_files(folder, config, credentials):
    (folder / "config").write_text(config.replace("{program}", str(folder / "program")))
    (folder / "credentials").write_text(credentials)
    return {"AWS_CONFIG_FILE": str(folder / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"), "HOME": str(folder)}


def compare(chooser, folder, variables, config="", credentials=""):
    everything = {**write_files(folder, config, credentials), **variables}
    ours = chooser(everything)
    expected, why = theirs(everything)
    assert without_defaults(ours.get("identity")) == expected, f"{ours}\nbotocore: {expected} {why}"
    assert (ours["error"] == "none") == (expected is not None)
    assert bool(ours["problem"]) == (expected is None)
    for secret in (SECRET, "file/secret", "other/secret"):
        assert secret not in ours["problem"]
    return ours


# -- configurations ---------------------------------------------------------------------------------------------------

# name: (variables, config, credentials)
CONFIGURATIONS = {
    "keys in the environment": (ENVIRONMENT, "", ""),
    "keys and a token": ({**ENVIRONMENT, "AWS_SESSION_TOKEN": "tok"}, "", ""),
    "the token's name of old": ({**ENVIRONMENT, "AWS_SECURITY_TOKEN": "old"}, "", ""),
    "both names of the token": ({**ENVIRONMENT, "AWS_SESSION_TOKEN": "new", "AWS_SECURITY_TOKEN": "old"}, "", ""),
    "keys that expire": ({**ENVIRONMENT, "AWS_CREDENTIAL_EXPIRATION": "2036-01-02T03:04:05Z"}, "", ""),
    "a key without its secret": ({"AWS_ACCESS_KEY_ID": KEY}, f"[default]\n{STATIC}", ""),
    "a secret without its key": ({"AWS_SECRET_ACCESS_KEY": SECRET}, f"[default]\n{STATIC}", ""),
    "an empty key counts as none": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": SECRET}, "", f"[default]\n{STATIC}"),
    "the environment before the files": (ENVIRONMENT, "", f"[default]\n{STATIC}"),
    "the environment before a profile that is asked for": ({**ENVIRONMENT, "AWS_PROFILE": "p"}, f"[profile p]\n{STATIC}", ""),
    "the environment before the container": ({**ENVIRONMENT, **RELATIVE}, "", ""),
    "keys in the credentials file": ({}, "", f"[default]\n{STATIC}"),
    "keys in the configuration": ({}, f"[default]\n{STATIC}", ""),
    "keys in both": ({}, f"[default]\n{STATIC}", f"[default]\n{OTHER}"),
    "a profile by name": ({"AWS_PROFILE": "p"}, "", f"[default]\n{STATIC}[p]\n{OTHER}"),
    "a profile of the configuration": ({"AWS_PROFILE": "p"}, f"[default]\n{STATIC}[profile p]\n{OTHER}", ""),
    "a profile with a blank in quotes": ({"AWS_PROFILE": "my own"}, f"[profile \"my own\"]\n{OTHER}", ""),
    "a profile with a blank and no quotes": ({"AWS_PROFILE": "my own"}, f"[profile my own]\n{OTHER}", ""),
    "a section without the word profile": ({"AWS_PROFILE": "p"}, f"[p]\n{STATIC}", ""),
    "the word profile in the credentials file": ({"AWS_PROFILE": "p"}, "", f"[profile p]\n{STATIC}"),
    "a profile that is nowhere": ({"AWS_PROFILE": "gone"}, f"[default]\n{STATIC}", ""),
    "a profile that is nowhere, and keys in the environment": ({**ENVIRONMENT, "AWS_PROFILE": "gone"}, "", ""),
    "both names of the profile": ({"AWS_PROFILE": "a", "AWS_DEFAULT_PROFILE": "b"}, f"[profile a]\n{STATIC}[profile b]\n{OTHER}", ""),
    "profile default in words": ({}, f"[profile default]\n{STATIC}", ""),
    "both forms of the default profile": ({}, f"[default]\n{STATIC}[profile default]\n{OTHER}", ""),
    "both forms, the other way round": ({}, f"[profile default]\n{OTHER}[default]\n{STATIC}", ""),
    "a key alone in the credentials file": ({}, f"[default]\n{STATIC}", "[default]\naws_access_key_id = X\n"),
    "a secret alone in the credentials file": ({}, f"[default]\n{STATIC}", "[default]\naws_secret_access_key = X\n"),
    "a token's name of old in a file": ({}, "", f"[default]\n{STATIC}aws_security_token = old\naws_session_token = new\n"),
    "keys for all by DEFAULT": ({"AWS_PROFILE": "p"}, "", f"[DEFAULT]\n{STATIC}[p]\nregion = x\n"),
    "keys in upper case": ({}, "", "[default]\nAWS_ACCESS_KEY_ID = UP\nAWS_Secret_Access_Key = s\n"),
    "colons, comments, blanks, carriage returns": ({}, "", "\r\n# x\r\n; y\r\n[default] ; z\r\naws_access_key_id: K:1\r\n\r\n  # in between\r\naws_secret_access_key=a=b:c#d\r\n"),
    "a value that goes on": (RELATIVE, f"[default]\nrole_arn = {ROLE}\ncredential_source = EcsContainer\nexternal_id = K\n   more\n  # no\n\n   still\nregion = s\n", ""),
    "a section twice": ({}, "", f"[default]\n{STATIC}[default]\n{OTHER}"),
    "a key twice": ({}, "", f"[default]\n{STATIC}aws_access_key_id = again\n"),
    "a line of nothing known": ({}, "", f"[default]\n{STATIC}what is this\n"),
    "a key before any section": ({}, "", f"x = 1\n[default]\n{STATIC}"),
    "an open bracket": ({}, "", f"[default\n{STATIC}"),
    "empty brackets": ({}, "", f"[]\n{STATIC}"),
    "a broken configuration and keys in the credentials file": ({}, "junk", f"[default]\n{STATIC}"),
    "a process": ({}, f"[default]\n{PROCESS}", ""),
    "a process in the credentials file": ({}, "", "[default]\ncredential_process = /bin/x --y\n"),
    "keys in the credentials file before a process": ({}, f"[default]\n{PROCESS}", f"[default]\n{STATIC}"),
    "a process before keys in the configuration": ({}, f"[default]\n{PROCESS}{STATIC}", ""),
    "a process with an open quote": ({}, "[default]\ncredential_process = /bin/x 'y\n", ""),
    "quotes and backslashes": ({}, '[default]\ncredential_process = /bin/x "a\\"b\\c" \'d\\e\' f\\\\g "" h\\ i\n', ""),
    "web identity": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": ROLE}, "", ""),
    "web identity with a name": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": ROLE, "AWS_ROLE_SESSION_NAME": "me"}, "", ""),
    "web identity without a role": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, "", ""),
    "web identity before the credentials file": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": ROLE}, "", f"[default]\n{STATIC}"),
    "web identity after the environment": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": ROLE, **ENVIRONMENT}, "", ""),
    "web identity of a profile": ({}, f"[default]\nweb_identity_token_file = /pt\nrole_arn = {ROLE}\nrole_session_name = s\n", ""),
    "web identity of both": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, f"[default]\nweb_identity_token_file = /pt\nrole_arn = {ROLE}\n", ""),
    "a role alone in the environment": ({"AWS_ROLE_ARN": ROLE}, "", f"[default]\n{STATIC}"),
    "a role by another profile": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = base\n[profile base]\n{STATIC}", ""),
    "a role with all that it may have": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = base\nexternal_id = x1\nrole_session_name = me\nduration_seconds = 1800\n",
                                         f"[base]\n{STATIC}"),
    "a role of the credentials file": ({}, "", f"[default]\nrole_arn = {ROLE}\nsource_profile = base\n[base]\n{OTHER}"),
    "a role before the profile's own keys": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = default\n{STATIC}", ""),
    "a role by itself without keys": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = default\n", ""),
    "a role by a role": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n[profile a]\nrole_arn = {ROLE}-a\nsource_profile = b\n[profile b]\n{STATIC}", ""),
    "a role by a profile that has keys and a role": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n[profile a]\nrole_arn = {ROLE}-a\nsource_profile = b\n{OTHER}[profile b]\n{STATIC}", ""),
    "a loop of two": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n[profile a]\nrole_arn = {ROLE}-a\nsource_profile = default\n", ""),
    "a source that is not there": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n", ""),
    "a source without credentials": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n[profile a]\nregion = x\n", ""),
    "a source with a key alone": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n[profile a]\naws_access_key_id = X\n", ""),
    "a role by a process": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n[profile a]\n{PROCESS}", ""),
    "a role by web identity": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n[profile a]\nrole_arn = {ROLE}-a\nweb_identity_token_file = /pt\n", ""),
    "a source does not look at the environment": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": ROLE},
                                                  f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n[profile a]\nregion = x\n", ""),
    "a role without a source": ({}, f"[default]\nrole_arn = {ROLE}\n", ""),
    "a role with two sources": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\ncredential_source = Environment\n[profile a]\n{STATIC}", ""),
    "a role by the container": (RELATIVE, f"[default]\nrole_arn = {ROLE}\ncredential_source = EcsContainer\n", ""),
    "a role by the instance": ({}, f"[default]\nrole_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata\n", ""),
    "a role by the environment without keys": ({}, f"[default]\nrole_arn = {ROLE}\ncredential_source = Environment\n", ""),
    "a role by a container that is none": ({}, f"[default]\nrole_arn = {ROLE}\ncredential_source = EcsContainer\n", ""),
    "a role by something unknown": ({}, f"[default]\nrole_arn = {ROLE}\ncredential_source = Wishes\n", ""),
    "a role by a source in lower case": ({}, f"[default]\nrole_arn = {ROLE}\ncredential_source = ec2instancemetadata\n", ""),
    "a role and keys in the environment": (ENVIRONMENT, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n[profile a]\n{STATIC}", ""),
    "a role and keys in the credentials file": ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\n[profile a]\n{OTHER}", f"[default]\n{STATIC}"),
    "a container by a path": (RELATIVE, "", ""),
    "a container by a URL": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:7000/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Basic abc"}, "", ""),
    "a container by both": ({**RELATIVE, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:7000/x"}, "", ""),
    "a container by name": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/x"}, "", ""),
    "a container at a stranger's": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/x"}, "", ""),
    "a container at a stranger's by a trick": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1@192.0.2.1/x"}, "", ""),
    "files before the container": (RELATIVE, f"[default]\n{STATIC}", ""),
    "the container before the instance": (RELATIVE, "[default]\nregion = x\n", ""),
    "the instance": ({}, "", ""),
    "the instance, a profile without keys": ({"AWS_PROFILE": "p"}, "[profile p]\nregion = x\n", ""),
    "the instance is switched off": (NO_INSTANCE, "", ""),
    "the instance elsewhere": ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1338/"}, "", ""),
    "the instance over IPv6": ({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}, "", ""),
    "the instance over IPv6 by the profile": ({}, "[default]\nec2_metadata_service_endpoint_mode = ipv6\n", ""),
    "the instance's patience": ({"AWS_METADATA_SERVICE_TIMEOUT": "3", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "4"}, "", ""),
    "the instance's patience by the profile": ({}, "[default]\nmetadata_service_timeout = 2\nmetadata_service_num_attempts = 5\n", ""),
    "an indented block beside keys": ({}, f"[default]\ns3 =\n  addressing_style = path\n  max = 1\n{STATIC}", ""),
}


def test_there_are_at_least_sixty_configurations():
    assert len(CONFIGURATIONS) >= 60


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_same_configuration_gives_the_same_choice_as_botocore(chooser, tmp_path, name):
    variables, config, credentials = CONFIGURATIONS[name]
    compare(chooser, tmp_path, variables, config, credentials)


@pytest.mark.parametrize("rounds", [250, pytest.param(4000, marks=pytest.mark.long)])
def test_random_mixtures_give_the_same_choice_as_botocore(chooser, tmp_path, rounds):
    chance = random.Random(rounds)
    lines = [*STATIC.splitlines(), *OTHER.splitlines(), PROCESS.rstrip(), f"role_arn = {ROLE}", "source_profile = a", "source_profile = default",
             "credential_source = EcsContainer", "credential_source = Environment", "web_identity_token_file = /pt", "external_id = x",
             "role_session_name = me", "region = eu-west-1"]
    variables = [*ENVIRONMENT.items(), *RELATIVE.items(), *NO_INSTANCE.items(), ("AWS_PROFILE", "a"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
                 ("AWS_ROLE_ARN", ROLE), ("AWS_SESSION_TOKEN", "tok"), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost:1/x")]

    def section(name):
        kept = {}
        for line in chance.sample(lines, chance.randrange(0, 6)):
            kept.setdefault(line.split(" ")[0], line)
        return f"[{name}]\n" + "".join(line + "\n" for line in kept.values())

    chosen = set()
    for _ in range(rounds):
        config = "".join(section(name) for name in ("default", "profile a", "profile b") if chance.random() < 0.7)
        credentials = "".join(section(name) for name in ("default", "a") if chance.random() < 0.4)
        ours = compare(chooser, tmp_path, dict(chance.sample(variables, chance.randrange(0, 4))), config, credentials)
        chosen.add(ours.get("identity", {}).get("provider", ours["error"]))
    assert {"environment", "assume-role", "web-identity", "shared-credentials-file", "process", "config-file", "container", "instance",
            "invalid", "not-found"} <= chosen


# name: (variables, config); without AWS_REGION, which botocore does not read
PLACES = {
    "a region by variable": ({"AWS_DEFAULT_REGION": "eu-west-1"}, ""),
    "a region by the profile": ({}, "[default]\nregion = eu-west-2\n"),
    "a region by another profile": ({"AWS_PROFILE": "p"}, "[default]\nregion = eu-west-2\n[profile p]\nregion = eu-west-3\n"),
    "a profile without a region": ({"AWS_PROFILE": "p"}, "[default]\nregion = eu-west-2\n[profile p]\noutput = json\n"),
    "a variable before the profile": ({"AWS_DEFAULT_REGION": "eu-west-1"}, "[default]\nregion = eu-west-2\n"),
    "no region": ({}, ""),
    "China": ({"AWS_DEFAULT_REGION": "cn-north-1"}, ""),
    "government": ({"AWS_DEFAULT_REGION": "us-gov-west-1"}, ""),
    "FIPS by variable": ({"AWS_DEFAULT_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true"}, ""),
    "FIPS by the profile": ({"AWS_DEFAULT_REGION": "us-east-1"}, "[default]\nuse_fips_endpoint = true\n"),
    "FIPS switched off by variable": ({"AWS_DEFAULT_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "false"}, "[default]\nuse_fips_endpoint = true\n"),
    "dual stack by variable": ({"AWS_DEFAULT_REGION": "us-east-1", "AWS_USE_DUALSTACK_ENDPOINT": "TRUE"}, ""),
    "dual stack by the profile": ({"AWS_DEFAULT_REGION": "eu-central-1"}, "[default]\nuse_dualstack_endpoint = true\n"),
    "FIPS and dual stack": ({"AWS_DEFAULT_REGION": "us-east-2", "AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_USE_FIPS_ENDPOINT": "true"}, ""),
    "certificates by variable": ({"AWS_DEFAULT_REGION": "us-east-1", "AWS_CA_BUNDLE": "/ca.pem"}, "[default]\nca_bundle = /other.pem\n"),
    "certificates by the profile": ({"AWS_DEFAULT_REGION": "us-east-1"}, "[default]\nca_bundle = /other.pem\n"),
}


def place_of_botocore(variables):
    with mock.patch.dict(os.environ, variables, clear=True):
        session = botocore.session.Session()
        region = session.get_config_variable("region")
        if not region:
            return {}
        client = session.create_client("lambda", aws_access_key_id="a", aws_secret_access_key="b", verify=False)
        told = {"region": client.meta.region_name, "lambda": client.meta.endpoint_url, "caFile": session.get_config_variable("ca_bundle")}
        return {name: value for name, value in told.items() if value}


@pytest.mark.parametrize("name", PLACES)
def test_the_same_configuration_gives_the_same_region_and_endpoint_as_botocore(chooser, tmp_path, name):
    variables, config = PLACES[name]
    everything = {**write_files(tmp_path, config, ""), **variables, **NO_INSTANCE}
    ours = chooser(everything)
    assert {key: ours[key] for key in ("region", "lambda", "caFile") if key in ours} == place_of_botocore(everything)


# -- what differs on purpose ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["sso_session = corp", "sso_start_url = https://corp.example", "sso_account_id = 1"])
def test_signing_on_in_a_browser_is_refused_with_a_sentence(chooser, tmp_path, line):
    ours = chooser(write_files(tmp_path, f"[default]\n{line}\n{STATIC}", ""))
    assert ours["error"] == "unsupported" and "which no daemon can do" in ours["problem"]


def test_a_role_that_asks_for_a_code_is_refused_with_a_sentence(chooser, tmp_path):
    ours = chooser(write_files(tmp_path, f"[default]\nrole_arn = {ROLE}\nsource_profile = a\nmfa_serial = arn:x\n[profile a]\n{STATIC}", ""))
    assert ours["error"] == "unsupported" and "mfa_serial" in ours["problem"]


@pytest.mark.parametrize("url, allowed", [("http://169.254.170.23/v1/credentials", True), ("http://[fd00:ec2::23]/v1/credentials", True),
                                          ("http://[::1]:80/x", True), ("https://secrets.example/x", True), ("http://127.0.0.53/x", True),
                                          ("http://127.evil.example/x", False), ("http://localhost.evil.example/x", False),
                                          ("http://[::1]@evil.example/x", False), ("ftp://localhost/x", False), ("http:///x", False)])
def test_a_container_may_be_asked_at_pod_identity_and_over_https_too(chooser, url, allowed):
    ours = chooser({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url, **NO_INSTANCE})
    assert (ours.get("identity", {}).get("url") == url) == allowed, ours
    assert allowed or "neither over https" in ours["problem"]


def test_the_file_of_the_authorization_is_told_beside_its_text(chooser):
    ours = chooser({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/token"})
    assert ours["identity"]["authorizationFile"] == "/token"


def test_a_file_that_was_named_and_cannot_be_read_is_an_error(chooser, tmp_path):
    variables = write_files(tmp_path, f"[default]\n{STATIC}", "")
    (tmp_path / "config").unlink()
    (tmp_path / "config").mkdir()
    ours = chooser(variables)
    assert ours["error"] != "none" and str(tmp_path / "config") in ours["problem"]


def test_paths_with_a_tilde_and_variables_are_found(chooser, tmp_path):
    write_files(tmp_path, f"[default]\n{STATIC}", "")
    for path in ("~/config", "$WHERE/config", "${WHERE}/con${REST}"):
        ours = chooser({"HOME": str(tmp_path), "WHERE": str(tmp_path), "REST": "fig", "AWS_CONFIG_FILE": path})
        assert ours["identity"]["key"] == "FILEKEY", path


def test_the_files_of_the_home_folder_are_read_by_default(chooser, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(f"[default]\n{STATIC}")
    assert chooser({"HOME": str(tmp_path)})["identity"]["provider"] == "shared-credentials-file"


def test_a_file_beyond_its_ceiling_is_an_error(chooser, tmp_path):
    variables = write_files(tmp_path, "[default]\n" + "# x\n" * 300000, "")
    assert chooser(variables)["error"] == "too-big"
