"""Lambda's own settings of an app reach AWS with each version, go back to AWS's defaults, and are found when a hand changed them."""
import pytest

from function_scene import NODE, Scene

LAYER = "arn:aws:lambda:us-east-1:000000000000:layer:tools:3"
ALL = {"layers": [LAYER], "vpc": {"subnetIds": ["subnet-2", "subnet-1"], "securityGroupIds": ["sg-1"], "ipv6": True}, "ephemeralStorageMb": 1024,
       "tracing": "active", "logging": {"format": "json", "applicationLevel": "debug", "systemLevel": None, "group": "shared"}, "snapStart": False,
       "kmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1", "deadLetterArn": "arn:aws:sqs:us-east-1:000000000000:dead"}
DEFAULTS = {"layers": [], "vpc": None, "ephemeralStorageMb": 512, "tracing": "pass-through",
            "logging": {"format": "text", "applicationLevel": None, "systemLevel": None, "group": None}, "snapStart": False, "kmsKeyArn": None,
            "deadLetterArn": None}

@pytest.fixture(scope="module")
def scene():
    made = Scene()
    try:
        yield made
    finally:
        made.close()


def of(things, members=DEFAULTS):
    return {name: things[name] for name in members}


def test_settings_reach_aws_with_the_version_and_really_go_back(scene):
    assert of(scene.call("PUT", "/v1/apps/whole", ALL, status=201)) == ALL
    scene.relay.count()
    scene.deploy("whole")
    said = dict(scene.said())
    assert said["CreateFunction"]["Layers"] == [LAYER] and said["CreateFunction"]["VpcConfig"]["SubnetIds"] == ["subnet-2", "subnet-1"]
    for got in scene.configuration("whole"), scene.configuration("whole", Qualifier="1"):
        assert [layer["Arn"] for layer in got["Layers"]] == [LAYER] and got["EphemeralStorage"] == {"Size": 1024}
        assert got["VpcConfig"]["SecurityGroupIds"] == ["sg-1"] and got["VpcConfig"]["Ipv6AllowedForDualStack"] is True
        assert got["TracingConfig"] == {"Mode": "Active"} and got["KMSKeyArn"] == ALL["kmsKeyArn"]
        assert got["LoggingConfig"] == {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "INFO", "LogGroup": "shared"}
        assert got["DeadLetterConfig"] == {"TargetArn": ALL["deadLetterArn"]}
    assert of(scene.call("GET", "/v1/apps/whole/versions/1", status=200)) == ALL
    patched = scene.call("PATCH", "/v1/apps/whole", {name: None for name in ALL}, status=200)
    assert of(patched) == DEFAULTS
    assert scene.configuration("whole")["EphemeralStorage"] == {"Size": 1024}  # settings wait for a deployment
    scene.deploy("whole")
    assert "UpdateFunctionConfiguration" in dict(scene.said())
    for got in scene.configuration("whole"), scene.configuration("whole", Qualifier="2"):
        assert "Layers" not in got and "KMSKeyArn" not in got and "DeadLetterConfig" not in got
        assert got["VpcConfig"]["SubnetIds"] == [] and got["EphemeralStorage"] == {"Size": 512} and got["TracingConfig"] == {"Mode": "PassThrough"}
        assert got["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/whole"}
    assert of(scene.call("GET", "/v1/apps/whole/versions/1", status=200)) == ALL
    assert scene.configuration("whole", Qualifier="1")["EphemeralStorage"] == {"Size": 1024}  # what was frozen stays
    assert scene.call("POST", "/v1/apps/whole/sync", status=200)["result"]["drift"] == []


def test_settings_come_with_a_deployment_or_a_document_too(scene):
    scene.deploy("wished", {"tracing": "active", "vpc": {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}, "logging": {"format": "json"}})
    shown = scene.call("GET", "/v1/apps/wished", status=200)
    assert shown["tracing"] == "active" and shown["vpc"]["ipv6"] is False and shown["logging"]["group"] is None
    answer = scene.managerd.request("POST", "/v1/apps/wished/deployments?ephemeralStorageMb=600&tracing=pass-through&deadLetterArn=arn:aws:sqs:r:0:q", NODE,
                                    headers={"Content-Type": "application/zip", "Prefer": "wait=60"}, timeout=70)
    assert answer.status == 200, answer.text
    got = scene.configuration("wished")
    assert got["EphemeralStorage"] == {"Size": 600} and got["TracingConfig"] == {"Mode": "PassThrough"}
    assert got["LoggingConfig"]["LogFormat"] == "JSON" and got["DeadLetterConfig"]["TargetArn"].endswith(":q")
    exported = scene.call("GET", "/v1/export", status=200)
    app = next(one for one in exported["apps"] if one["name"] == "wished")
    assert app["vpc"]["subnetIds"] == ["subnet-1"] and app["ephemeralStorageMb"] == 600
    done = scene.call("POST", "/v1/apply", {"apps": [{**app, "layers": [LAYER]}]}, status=200)
    assert done["state"] == "succeeded"
    assert scene.call("GET", "/v1/apps/wished", status=200)["layers"] == [LAYER]


@pytest.mark.parametrize("settings, pointers", [
    ({"layers": ["layer"], "ephemeralStorageMb": 511, "tracing": "Active"}, {"/layers/0", "/ephemeralStorageMb", "/tracing"}),
    ({"layers": [LAYER + str(n) for n in range(6)]}, {"/layers"}),
    ({"layers": [LAYER, LAYER + "1"]}, {"/layers/1"}),
    ({"vpc": {"subnetIds": [], "securityGroupIds": ["a b"]}}, {"/vpc/subnetIds", "/vpc/securityGroupIds/0"}),
    ({"vpc": {"subnetIds": ["s"]}}, {"/vpc/securityGroupIds"}),
    ({"logging": {"format": "JSON", "group": "a b"}}, {"/logging/format", "/logging/group"}),
    ({"logging": {"applicationLevel": "debug"}}, {"/logging/applicationLevel"}),
    ({"snapStart": True, "ephemeralStorageMb": 513}, {"/snapStart"}),
    ({"kmsKeyArn": "key", "deadLetterArn": ""}, {"/kmsKeyArn", "/deadLetterArn"}),
])
def test_every_fault_is_told_at_its_member(scene, settings, pointers):
    scene.call("PUT", "/v1/apps/strict", {}, None)
    for method, path, body, below in (("PUT", "/v1/apps/strict", settings, ""), ("PATCH", "/v1/apps/strict", settings, ""),
                                      ("POST", "/v1/apps/strict/deployments", {"package": {"version": 1}, **settings}, ""),
                                      ("POST", "/v1/apply?dryRun=true", {"apps": [{"name": "strict", **settings}]}, "/apps/0")):
        if path.endswith("deployments") and len(pointers) == 1 and pointers & {"/layers/1", "/logging/applicationLevel", "/snapStart"}:
            continue  # judged together with the app's own, once the package is there
        errors = scene.call(method, path, body, status=422)["errors"]
        assert {error["pointer"] for error in errors} == {below + pointer for pointer in pointers}, (method, path)


def test_a_deployment_is_told_what_does_not_go_together(scene):
    scene.call("PUT", "/v1/apps/together", {"ephemeralStorageMb": 600}, status=201)
    answer = scene.managerd.request("POST", "/v1/apps/together/deployments?snapStart=true", NODE, headers={"Content-Type": "application/zip"})
    assert answer.status == 422 and [error["parameter"] for error in answer.json()["errors"]] == ["snapStart"]


def test_hand_edits_are_found_field_by_field_and_put_back_or_taken_over(scene):
    scene.call("PUT", "/v1/apps/edited", {"tracing": "active"}, status=201)
    scene.deploy("edited")
    edit = {"FunctionName": "edited", "Layers": [LAYER], "TracingConfig": {"Mode": "PassThrough"},
            "VpcConfig": {"SubnetIds": ["subnet-9"], "SecurityGroupIds": ["sg-9"]}, "LoggingConfig": {"LogFormat": "JSON", "LogGroup": "theirs"},
            "EphemeralStorage": {"Size": 2048}, "KMSKeyArn": ALL["kmsKeyArn"], "DeadLetterConfig": {"TargetArn": ALL["deadLetterArn"]}}
    scene.hand.update_function_configuration(**edit)
    found = scene.call("POST", "/v1/apps/edited/sync?policy=alert", status=200)["result"]["drift"]
    assert {item["field"]: (item["expected"], item["observed"]) for item in found} == {
        "layers": ([], [LAYER]), "tracing": ("active", "pass-through"), "ephemeralStorageMb": (512, 2048), "kmsKeyArn": (None, ALL["kmsKeyArn"]),
        "deadLetterArn": (None, ALL["deadLetterArn"]), "vpc": (None, {"subnetIds": ["subnet-9"], "securityGroupIds": ["sg-9"], "ipv6": False}),
        "logging": (DEFAULTS["logging"], {"format": "json", "applicationLevel": "info", "systemLevel": "info", "group": "theirs"})}
    scene.call("POST", "/v1/apps/edited/sync?policy=repair", status=200)
    got = scene.configuration("edited")
    assert "Layers" not in got and got["TracingConfig"] == {"Mode": "Active"} and got["LoggingConfig"]["LogFormat"] == "Text"
    assert scene.call("POST", "/v1/apps/edited/sync?policy=alert", status=200)["result"]["drift"] == []
    scene.hand.update_function_configuration(**edit)
    scene.call("POST", "/v1/apps/edited/sync?policy=accept", status=200)
    taken = scene.call("GET", "/v1/apps/edited", status=200)
    assert taken["layers"] == [LAYER] and taken["vpc"]["subnetIds"] == ["subnet-9"] and taken["logging"]["group"] == "theirs"
    assert scene.call("POST", "/v1/apps/edited/sync?policy=alert", status=200)["result"]["drift"] == []
    scene.deploy("edited")
    assert scene.configuration("edited", Qualifier="2")["EphemeralStorage"] == {"Size": 2048}
    scene.said()
