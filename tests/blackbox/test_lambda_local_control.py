"""The control API of lambda-local, driven by boto3: the life of functions, versions and aliases, and AWS's refusals."""
import base64
import hashlib
import threading
import time
import urllib.request

import pytest

from harness import LambdaLocal, make_zip, wait_for
from lambda_functions import NODE, ROLE, call, client_of, create, refused, update

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
SAY = "exports.handler = async () => '%s'"


@pytest.fixture
def client(lambda_local):
    return client_of(lambda_local)


@pytest.fixture
def blind_client(lambda_local):
    """A client that sends what it is told, without checks of its own."""
    return client_of(lambda_local, parameter_validation=False)


def with_options(**options):
    return LambdaLocal(options={f"LAMBDA_LOCAL_{name}": value for name, value in options.items()})


def test_a_created_function_has_the_fields_that_clients_expect(client):
    package = make_zip({"index.js": SAY % "hi"})
    made = client.create_function(FunctionName="hello", Role=ROLE, Runtime=NODE, Handler="index.handler",
                                  Code={"ZipFile": package}, Description="d", Tags={"team": "a"},
                                  Environment={"Variables": {"NAME": "value"}})
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["FunctionArn"] == ARN + "hello"
    assert made["CodeSize"] == len(package)
    assert made["CodeSha256"] == base64.b64encode(hashlib.sha256(package).digest()).decode()
    assert (made["Timeout"], made["MemorySize"], made["Version"]) == (3, 128, "$LATEST")
    assert made["State"] == "Active" and made["LastUpdateStatus"] == "Successful"
    assert made["PackageType"] == "Zip" and made["Architectures"] == ["x86_64"]
    assert made["EphemeralStorage"] == {"Size": 512} and made["TracingConfig"] == {"Mode": "PassThrough"}
    assert made["Environment"] == {"Variables": {"NAME": "value"}}
    assert made["LastModified"].endswith("+0000") and len(made["LastModified"]) == 28
    got = client.get_function(FunctionName="hello")
    assert got["Tags"] == {"team": "a"}
    assert got["Configuration"]["RevisionId"] == made["RevisionId"]
    assert urllib.request.urlopen(got["Code"]["Location"], timeout=10).read() == package
    configuration = client.get_function_configuration(FunctionName="hello")
    assert {**got["Configuration"], "ResponseMetadata": 0} == {**configuration, "ResponseMetadata": 0}


def test_the_packages_address_works_only_as_it_was_given(lambda_local, client):
    create(client, "hello", SAY % "hi")
    location = client.get_function(FunctionName="hello")["Code"]["Location"]
    for forged in (location[:-1] + ("0" if location[-1] != "0" else "1"), location.split("&Expires")[0]):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(forged, timeout=10)
        assert refusal.value.code == 403


def test_updates_change_code_and_configuration_and_keep_the_rest(client):
    first = create(client, "hello", SAY % "one", Environment={"Variables": {"KEEP": "no"}})
    assert call(client, "hello").payload == "one"
    second = update(client, "hello", SAY % "two")
    assert second["CodeSha256"] != first["CodeSha256"] and second["RevisionId"] != first["RevisionId"]
    assert call(client, "hello").payload == "two"
    third = client.update_function_configuration(FunctionName="hello", Timeout=7,
                                                 Environment={"Variables": {"OTHER": "yes"}})
    assert third["Timeout"] == 7 and third["Environment"] == {"Variables": {"OTHER": "yes"}}
    assert third["CodeSha256"] == second["CodeSha256"]
    dry = update(client, "hello", SAY % "three", DryRun=True)
    assert dry["CodeSha256"] != second["CodeSha256"]
    assert client.get_function_configuration(FunctionName="hello")["CodeSha256"] == second["CodeSha256"]


def test_publishing_twice_without_a_change_gives_the_same_version(client):
    create(client, "hello", SAY % "one")
    one = client.publish_version(FunctionName="hello", Description="first")
    assert (one["Version"], one["Description"], one["FunctionArn"]) == ("1", "first", ARN + "hello:1")
    assert client.publish_version(FunctionName="hello")["Version"] == "1"
    client.update_function_configuration(FunctionName="hello", Description="changed")
    assert client.publish_version(FunctionName="hello")["Version"] == "2"
    update(client, "hello", SAY % "two")
    assert client.publish_version(FunctionName="hello")["Version"] == "3"
    assert [v["Version"] for v in client.list_versions_by_function(FunctionName="hello")["Versions"]] == [
        "$LATEST", "1", "2", "3"]
    assert [call(client, "hello", Qualifier=q).payload for q in ("1", "2", "3", "$LATEST")] == [
        "one", "one", "two", "two"]
    client.delete_function(FunctionName="hello", Qualifier="3")
    assert client.publish_version(FunctionName="hello")["Version"] == "4"  # numbers are never used twice


def test_publish_checks_the_hash_and_the_revision(client):
    made = create(client, "hello", SAY % "one")
    with refused("InvalidParameterValueException", 400) as refusal:
        client.publish_version(FunctionName="hello", CodeSha256="x" * 44)
    assert "is different from current CodeSHA256" in refusal.message
    with refused("PreconditionFailedException", 412):
        client.publish_version(FunctionName="hello", RevisionId="other")
    client.publish_version(FunctionName="hello", CodeSha256=made["CodeSha256"], RevisionId=made["RevisionId"])
    with refused("PreconditionFailedException", 412):
        client.update_function_configuration(FunctionName="hello", RevisionId="other", Timeout=4)
    with refused("PreconditionFailedException", 412):
        update(client, "hello", SAY % "two", RevisionId="other")


def test_create_and_update_can_publish_at_once(client):
    assert create(client, "hello", SAY % "one", Publish=True)["Version"] == "1"
    updated = update(client, "hello", SAY % "two", Publish=True)
    assert updated["Version"] == "2" and updated["FunctionArn"] == ARN + "hello:2"
    assert call(client, "hello", Qualifier="1").payload == "one"


def test_aliases_live_and_lead_to_their_version(client):
    create(client, "hello", SAY % "one", Publish=True)
    update(client, "hello", SAY % "two", Publish=True)
    made = client.create_alias(FunctionName="hello", Name="live", FunctionVersion="1", Description="d")
    assert made["AliasArn"] == ARN + "hello:live" and made["FunctionVersion"] == "1"
    result = call(client, "hello", Qualifier="live")
    assert (result.payload, result.version) == ("one", "1")
    with refused("PreconditionFailedException", 412):
        client.update_alias(FunctionName="hello", Name="live", FunctionVersion="2", RevisionId="other")
    changed = client.update_alias(FunctionName="hello", Name="live", FunctionVersion="2",
                                  RevisionId=made["RevisionId"])
    assert changed["Description"] == "d" and changed["RevisionId"] != made["RevisionId"]
    assert call(client, "hello:live").payload == "two"
    assert client.get_function(FunctionName="hello", Qualifier="live")["Configuration"]["Version"] == "2"
    client.create_alias(FunctionName="hello", Name="beta", FunctionVersion="$LATEST")
    assert [a["Name"] for a in client.list_aliases(FunctionName="hello")["Aliases"]] == ["beta", "live"]
    assert [a["Name"] for a in client.list_aliases(FunctionName="hello", FunctionVersion="2")["Aliases"]] == ["live"]
    with refused("ResourceConflictException", 409):
        client.create_alias(FunctionName="hello", Name="live", FunctionVersion="1")
    with refused("ResourceConflictException", 409) as refusal:
        client.delete_function(FunctionName="hello", Qualifier="2")
    assert "live" in refusal.message
    client.delete_alias(FunctionName="hello", Name="live")
    client.delete_alias(FunctionName="hello", Name="live")
    client.delete_function(FunctionName="hello", Qualifier="2")
    with refused("ResourceNotFoundException", 404) as refusal:
        client.get_alias(FunctionName="hello", Name="live")
    assert refusal.message == f"Cannot find alias arn: {ARN}hello:live"


def test_an_alias_with_weights_sends_a_share_to_the_second_version(client):
    create(client, "hello", SAY % "one", Publish=True)
    update(client, "hello", SAY % "two", Publish=True)
    client.create_alias(FunctionName="hello", Name="live", FunctionVersion="1",
                        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
    seen = [call(client, "hello", Qualifier="live").version for _ in range(60)]
    assert 5 < seen.count("2") < 55 and set(seen) == {"1", "2"}
    client.update_alias(FunctionName="hello", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
    assert {call(client, "hello", Qualifier="live").version for _ in range(10)} == {"2"}
    answer = client.update_alias(FunctionName="hello", Name="live", RoutingConfig={"AdditionalVersionWeights": {}})
    assert "RoutingConfig" not in answer
    assert {call(client, "hello", Qualifier="live").version for _ in range(10)} == {"1"}


@pytest.mark.parametrize("weights, code", [
    ({"1": 0.5}, "InvalidParameterValueException"), ({"$LATEST": 0.5}, "InvalidParameterValueException"),
    ({"9": 0.5}, "ResourceNotFoundException"), ({"2": 1.5}, "ValidationException"),
    ({"2": 0.1, "1": 0.1}, "InvalidParameterValueException")])
def test_weights_that_make_no_sense_are_refused(client, weights, code):
    create(client, "hello", SAY % "one", Publish=True)
    update(client, "hello", SAY % "two", Publish=True)
    with refused(code):
        client.create_alias(FunctionName="hello", Name="live", FunctionVersion="1",
                            RoutingConfig={"AdditionalVersionWeights": weights})


def test_lists_are_paged(client):
    names = [f"function-{n:02}" for n in range(12)]
    for name in reversed(names):
        create(client, name, SAY % name)
    pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["Functions"]) for page in pages] == [5, 5, 2]
    assert [f["FunctionName"] for page in pages for f in page["Functions"]] == names
    assert all("State" not in f for page in pages for f in page["Functions"])
    for n in range(4):
        client.update_function_configuration(FunctionName=names[0], Description=f"{n}")
        client.publish_version(FunctionName=names[0])
        client.create_alias(FunctionName=names[0], Name=f"a{n}", FunctionVersion=str(n + 1))
    versions = list(client.get_paginator("list_versions_by_function").paginate(
        FunctionName=names[0], PaginationConfig={"PageSize": 2}))
    assert [[v["Version"] for v in page["Versions"]] for page in versions] == [["$LATEST", "1"], ["2", "3"], ["4"]]
    aliases = list(client.get_paginator("list_aliases").paginate(
        FunctionName=names[0], PaginationConfig={"PageSize": 3}))
    assert [[a["Name"] for a in page["Aliases"]] for page in aliases] == [["a0", "a1", "a2"], ["a3"]]
    everything = client.list_functions(FunctionVersion="ALL", MaxItems=1)["Functions"]
    assert [f["FunctionArn"] for f in everything] == [
        f"{ARN}{names[0]}:{v}" for v in ("$LATEST", "1", "2", "3", "4")]


def test_tags_are_added_listed_and_removed(client):
    arn = create(client, "hello", SAY % "hi", Tags={"a": "1"})["FunctionArn"]
    client.tag_resource(Resource=arn, Tags={"b": "2", "a": "3", "ü": "é"})
    assert client.list_tags(Resource=arn)["Tags"] == {"a": "3", "b": "2", "ü": "é"}
    client.untag_resource(Resource=arn, TagKeys=["a", "ü", "none"])
    assert client.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    with refused("ResourceNotFoundException", 404):
        client.list_tags(Resource=ARN + "nobody")
    with refused("ValidationException", 400):
        client.tag_resource(Resource=arn, Tags={"aws:x": "1"})


def test_reserved_concurrency_is_kept_within_the_account(client):
    create(client, "hello", SAY % "hi")
    assert client.put_function_concurrency(FunctionName="hello", ReservedConcurrentExecutions=7)[
        "ReservedConcurrentExecutions"] == 7
    assert client.get_function_concurrency(FunctionName="hello")["ReservedConcurrentExecutions"] == 7
    assert client.get_function(FunctionName="hello")["Concurrency"] == {"ReservedConcurrentExecutions": 7}
    assert client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 993
    with refused("InvalidParameterValueException", 400):
        client.put_function_concurrency(FunctionName="hello", ReservedConcurrentExecutions=901)
    client.delete_function_concurrency(FunctionName="hello")
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName="hello")
    assert client.get_account_settings()["AccountUsage"]["FunctionCount"] == 1


def test_a_deleted_function_is_gone_and_its_name_free(client):
    create(client, "hello", SAY % "one", Publish=True)
    with refused("ResourceConflictException", 409) as refusal:
        create(client, "hello", SAY % "two")
    assert refusal.message == "Function already exist: hello"
    with refused("InvalidParameterValueException", 400):
        client.delete_function(FunctionName="hello", Qualifier="$LATEST")
    client.delete_function(FunctionName="hello")
    with refused("ResourceNotFoundException", 404) as refusal:
        client.invoke(FunctionName="hello")
    assert refusal.message == f"Function not found: {ARN}hello"
    assert refusal.answer["Type"] == "User"
    assert create(client, "hello", SAY % "three", Publish=True)["Version"] == "1"
    assert call(client, "hello").payload == "three"


@pytest.mark.parametrize("name", ["hello", "hello:1", "function:hello", "000000000000:function:hello",
                                  ARN + "hello", ARN + "hello:live", "hello:$LATEST"])
def test_every_form_of_a_name_finds_the_function(client, name):
    create(client, "hello", SAY % "hi", Publish=True)
    client.create_alias(FunctionName="hello", Name="live", FunctionVersion="1")
    assert client.get_function_configuration(FunctionName=name)["FunctionName"] == "hello"
    assert call(client, name).payload == "hi"


def test_names_that_lead_elsewhere_are_refused_as_aws_does(client):
    create(client, "hello", SAY % "hi", Publish=True)
    with refused("ResourceNotFoundException", 404):
        client.get_function(FunctionName="arn:aws:lambda:eu-west-1:000000000000:function:hello")
    with refused("AccessDeniedException", 403):
        client.get_function(FunctionName="arn:aws:lambda:us-east-1:111111111111:function:hello")
    with refused("InvalidParameterValueException", 400):
        client.get_function(FunctionName="hello:1", Qualifier="2")
    with refused("ResourceNotFoundException", 404):
        client.get_function(FunctionName="hello", Qualifier="2")
    for name in ("a b", "../x", "x" * 65, "a:b:c:d", "%2e%2e"):
        with refused("ValidationException", 400):
            client.get_function(FunctionName=name)


@pytest.mark.parametrize("settings, code, words", [
    ({"Timeout": 901}, "ValidationException", "'timeout' failed to satisfy constraint: Member must have value less"),
    ({"Timeout": 0}, "ValidationException", "greater than or equal to 1"),
    ({"MemorySize": 127}, "ValidationException", "greater than or equal to 128"),
    ({"Runtime": "cobol85"}, "InvalidParameterValueException", "Value cobol85 at 'runtime' failed to satisfy"),
    ({"Runtime": "java21"}, "InvalidParameterValueException", "Member must satisfy enum value set"),
    ({"Role": "nobody"}, "ValidationException", "'role' failed to satisfy constraint"),
    ({"Handler": "a b"}, "ValidationException", "[^\\s]+"),
    ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException", "reserved keys"),
    ({"Environment": {"Variables": {"BIG": "x" * 4096}}}, "InvalidParameterValueException", "4KB"),
    ({"Environment": {"Variables": {"1x": "x"}}}, "ValidationException", "environment.variables"),
    ({"EphemeralStorage": {"Size": 5}}, "ValidationException", "ephemeralStorage.size"),
    ({"Layers": ["layer"]}, "ValidationException", "'layers' failed to satisfy constraint"),
    ({"Layers": [f"arn:aws:lambda:us-east-1:000000000000:layer:l{n}:1" for n in range(6)]},
     "InvalidParameterValueException", "more than 5 layers"),
    ({"Layers": [f"arn:aws:lambda:us-east-1:000000000000:layer:a:{n}" for n in (1, 2)]},
     "InvalidParameterValueException", "same layer"),
    ({"VpcConfig": {"SubnetIds": ["subnet-1"]}}, "InvalidParameterValueException", "must coexist"),
    ({"VpcConfig": {"SubnetIds": ["s"] * 17, "SecurityGroupIds": ["g"]}}, "ValidationException", "vpcConfig.subnetIds"),
    ({"TracingConfig": {"Mode": "Off"}}, "ValidationException", "[Active, PassThrough]"),
    ({"LoggingConfig": {"LogFormat": "XML"}}, "ValidationException", "loggingConfig.logFormat"),
    ({"LoggingConfig": {"LogFormat": "Text", "ApplicationLogLevel": "INFO"}}, "InvalidParameterValueException", "JSON"),
    ({"LoggingConfig": {"LogGroup": "a b"}}, "ValidationException", "loggingConfig.logGroup"),
    ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, "InvalidParameterValueException", "not supported for SnapStart"),
    ({"FileSystemConfigs": [{}]}, "InvalidParameterValueException", "FileSystemConfigs"),
    ({"KMSKeyArn": "key"}, "ValidationException", "kMSKeyArn"),
    ({"PackageType": "Image"}, "InvalidParameterValueException", "PackageType"),
    ({"Tags": {"aws:a": "b"}}, "ValidationException", "tags"),
])
def test_wrong_settings_are_refused_in_awss_words(blind_client, settings, code, words):
    wanted = {"FunctionName": "hello", "Role": ROLE, "Runtime": NODE, "Handler": "index.handler",
              "Code": {"ZipFile": make_zip({"index.js": ""})}, **settings}
    with refused(code, 400) as refusal:
        blind_client.create_function(**wanted)
    assert words in refusal.message
    with refused("ResourceNotFoundException"):
        blind_client.get_function(FunctionName="hello")


@pytest.mark.parametrize("package", [b"", b"no zip at all", make_zip({"../escape.js": "x"}),
                                     make_zip({"index.js": "x"})[:-30]])
def test_packages_that_are_none_are_refused(client, package):
    with refused("InvalidParameterValueException", 400):
        client.create_function(FunctionName="hello", Role=ROLE, Runtime=NODE, Handler="index.handler",
                               Code={"ZipFile": package})
    create(client, "hello", SAY % "hi")  # the name was not taken by the attempt


def test_a_function_is_pending_and_an_update_in_progress_for_the_delay():
    with with_options(READY_DELAY_MS="700ms") as server:
        client = client_of(server)
        made = create(client, "hello", SAY % "one")
        assert made["State"] == "Pending" and made["StateReasonCode"] == "Creating"
        with refused("ResourceConflictException", 409) as refusal:
            client.invoke(FunctionName="hello")
        assert "Pending" in refusal.message
        with refused("ResourceConflictException", 409):
            client.publish_version(FunctionName="hello")
        client.get_waiter("function_active_v2").wait(FunctionName="hello")
        active = client.get_function_configuration(FunctionName="hello")
        assert active["RevisionId"] != made["RevisionId"] and "StateReason" not in active
        assert call(client, "hello").payload == "one"

        updated = update(client, "hello", SAY % "two")
        assert updated["State"] == "Active" and updated["LastUpdateStatus"] == "InProgress"
        assert call(client, "hello").payload == "one"  # the former code serves on
        for attempt in (lambda: update(client, "hello", SAY % "three"),
                        lambda: client.update_function_configuration(FunctionName="hello", Timeout=5),
                        lambda: client.publish_version(FunctionName="hello"),
                        lambda: client.tag_resource(Resource=ARN + "hello", Tags={"a": "b"})):
            with refused("ResourceConflictException", 409) as refusal:
                attempt()
            assert "An update is in progress" in refusal.message
        client.get_waiter("function_updated_v2").wait(FunctionName="hello")
        assert call(client, "hello").payload == "two"
        assert client.publish_version(FunctionName="hello")["State"] == "Pending"
        with refused("ResourceConflictException", 409):
            client.invoke(FunctionName="hello", Qualifier="1")
        wait_for(lambda: client.get_function(FunctionName="hello:1")["Configuration"]["State"] == "Active",
                 what="the version was active")


def test_functions_survive_restarts_and_kill_9(lambda_local, client):
    create(client, "hello", SAY % "one", Publish=True, Tags={"a": "b"}, Environment={"Variables": {"KEY": "value"}})
    update(client, "hello", SAY % "two")
    client.create_alias(FunctionName="hello", Name="live", FunctionVersion="1", Description="d")
    client.put_function_concurrency(FunctionName="hello", ReservedConcurrentExecutions=3)
    call(client, "hello")

    def all_of_it():
        got = client.get_function(FunctionName="hello")
        return ({key: got[key] for key in ("Configuration", "Tags", "Concurrency")},
                client.list_versions_by_function(FunctionName="hello")["Versions"],
                client.list_aliases(FunctionName="hello")["Aliases"])

    before = all_of_it()
    lambda_local.restart()
    assert all_of_it() == before
    lambda_local.kill_only()
    lambda_local.start()
    assert all_of_it() == before
    assert call(client, "hello").payload == "two" and call(client, "hello:live").payload == "one"


def test_kill_9_at_random_moments_loses_nothing_that_was_answered(lambda_local, client):
    """Versions are published as fast as it goes; whatever was answered is there after the kill."""
    create(client, "hello", SAY % "hi")
    published, stop = [], threading.Event()

    def publish():
        n = 0
        while not stop.is_set():
            n += 1
            try:
                client.update_function_configuration(FunctionName="hello", Description=f"{n}")
                version = client.publish_version(FunctionName="hello")
                published.append((version["Version"], version["Description"]))
            except Exception:  # the server is down just now
                time.sleep(0.005)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        for n in range(6):
            time.sleep(0.05 + 0.03 * n)
            lambda_local.kill_only()
            lambda_local.start()
    finally:
        stop.set()
        thread.join(30)
    stored = {v["Version"]: v["Description"] for page in
              client.get_paginator("list_versions_by_function").paginate(FunctionName="hello")
              for v in page["Versions"]}
    assert len(published) > 10
    assert [version for version, description in published if stored.get(version) != description] == []


def test_what_a_kill_left_half_made_does_not_stop_the_next_start(lambda_local, client):
    create(client, "hello", SAY % "hi", Publish=True)
    lambda_local.stop()
    functions = lambda_local.data / "lambda-local" / "functions"
    (functions / "half" / "versions").mkdir(parents=True)
    (functions / "hello" / "versions" / "1.json.tmp").write_text("{")
    (lambda_local.data / "lambda-local" / "trash" / "old").mkdir()
    code = functions / "hello" / "code"
    (code / "0123.half").mkdir()
    (code / "0123.half").chmod(0o555)
    (code / "0123.zip").write_text("half")
    broken = functions / "broken"
    broken.mkdir()
    (broken / "function.json").write_text('{"name": "broken", "latest": 5')
    lambda_local.start()
    assert [f["FunctionName"] for f in client.list_functions()["Functions"]] == ["hello"]
    assert not (functions / "half").exists() and broken.exists()
    assert len(list(code.iterdir())) == 2 and call(client, "hello").payload == "hi"
    assert list((lambda_local.data / "lambda-local" / "trash").iterdir()) == []
    assert any(line["function"] == "broken" for line in lambda_local.events("function-not-loaded"))


def test_a_second_lambda_local_does_not_touch_the_same_folder(lambda_local):
    second = LambdaLocal(data=lambda_local.data).launch()
    second.wait(expect=1)
    assert "in use by another process" in second.log_tail()


LAYER = "arn:aws:lambda:us-east-1:000000000000:layer:tools:3"


def test_what_a_function_has_around_it_is_kept_and_taken_back(client):
    create(client, "hello", SAY % "hi")
    client.update_function_configuration(
        FunctionName="hello", Layers=[LAYER], TracingConfig={"Mode": "Active"},
        VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "Ipv6AllowedForDualStack": True},
        LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN", "LogGroup": "shared"},
        DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"},
        KMSKeyArn="arn:aws:kms:us-east-1:000000000000:key/1", EphemeralStorage={"Size": 1024})
    got = client.get_function_configuration(FunctionName="hello")
    assert got["Layers"] == [{"Arn": LAYER, "CodeSize": 0}] and got["TracingConfig"] == {"Mode": "Active"}
    assert got["VpcConfig"]["SubnetIds"] == ["subnet-1"] and got["VpcConfig"]["VpcId"].startswith("vpc-")
    assert got["VpcConfig"]["SecurityGroupIds"] == ["sg-1"]
    assert got["LoggingConfig"] == {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "WARN",
                                    "LogGroup": "shared"}
    assert got["DeadLetterConfig"]["TargetArn"].endswith(":dead") and got["KMSKeyArn"].endswith("key/1")
    client.update_function_configuration(
        FunctionName="hello", Layers=[], TracingConfig={"Mode": "PassThrough"},
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []}, LoggingConfig={"LogFormat": "Text"},
        DeadLetterConfig={"TargetArn": ""}, KMSKeyArn="")
    got = client.get_function_configuration(FunctionName="hello")
    assert not {"Layers", "DeadLetterConfig", "KMSKeyArn"} & set(got)
    assert got["VpcConfig"] == {"SubnetIds": [], "SecurityGroupIds": [], "VpcId": "", "Ipv6AllowedForDualStack": False}
    assert got["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/hello"}


def test_functions_see_how_they_are_to_log(client):
    create(client, "hello", "exports.handler = async () => [process.env.AWS_LAMBDA_LOG_FORMAT, "
                            "process.env.AWS_LAMBDA_LOG_LEVEL, process.env.AWS_LAMBDA_LOG_GROUP_NAME]",
           LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "shared"})
    assert call(client, "hello").payload == ["JSON", "DEBUG", "shared"]


def test_published_versions_of_a_snapstart_function_are_optimized(client):
    client.create_function(FunctionName="hello", Role=ROLE, Runtime="python3.12", Handler="index.handler",
                           Code={"ZipFile": make_zip({"index.py": "def handler(event, context): return 1"})},
                           SnapStart={"ApplyOn": "PublishedVersions"})
    assert client.get_function_configuration(FunctionName="hello")["SnapStart"] == {
        "ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    version = client.publish_version(FunctionName="hello")
    assert version["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    with refused("InvalidParameterValueException"):
        client.update_function_configuration(FunctionName="hello", EphemeralStorage={"Size": 1024})
    with refused("InvalidParameterValueException"):
        client.put_provisioned_concurrency_config(FunctionName="hello", Qualifier="1",
                                                  ProvisionedConcurrentExecutions=1)


def test_provisioned_concurrency_is_ready_after_the_delay_and_survives_a_restart():
    with with_options(READY_DELAY_MS="100ms") as server:
        client = client_of(server)
        state = lambda name: client.get_function(FunctionName=name)["Configuration"]["State"]
        create(client, "hello", SAY % "hi")
        wait_for(lambda: state("hello") == "Active", what="the function was active")
        client.publish_version(FunctionName="hello")
        wait_for(lambda: state("hello:1") == "Active", what="the version was active")
        key = {"FunctionName": "hello", "Qualifier": "1"}
        with refused("ProvisionedConcurrencyConfigNotFoundException", 404):
            client.get_provisioned_concurrency_config(**key)
        made = client.put_provisioned_concurrency_config(**key, ProvisionedConcurrentExecutions=2)
        assert made["ResponseMetadata"]["HTTPStatusCode"] == 202 and made["Status"] == "IN_PROGRESS"
        wait_for(lambda: client.get_provisioned_concurrency_config(**key)["Status"] == "READY", what="it is READY")
        assert client.get_provisioned_concurrency_config(**key)["AvailableProvisionedConcurrentExecutions"] == 2
        server.restart()
        client = client_of(server)
        listed = client.list_provisioned_concurrency_configs(FunctionName="hello")["ProvisionedConcurrencyConfigs"]
        assert [(one["FunctionArn"], one["RequestedProvisionedConcurrentExecutions"]) for one in listed] == [
            (ARN + "hello:1", 2)]
        with refused("InvalidParameterValueException") as refusal:
            client.put_function_concurrency(FunctionName="hello", ReservedConcurrentExecutions=1)
        assert "total provisioned concurrency [2]" in refusal.message
        client.put_function_concurrency(FunctionName="hello", ReservedConcurrentExecutions=3)
        with refused("InvalidParameterValueException"):
            client.put_provisioned_concurrency_config(**key, ProvisionedConcurrentExecutions=4)
        with refused("InvalidParameterValueException"):
            client.put_provisioned_concurrency_config(FunctionName="hello", Qualifier="$LATEST",
                                                      ProvisionedConcurrentExecutions=1)
        client.delete_provisioned_concurrency_config(**key)
        with refused("ProvisionedConcurrencyConfigNotFoundException", 404):
            client.get_provisioned_concurrency_config(**key)
