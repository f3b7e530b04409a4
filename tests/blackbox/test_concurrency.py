"""Tags and concurrency act at once: an operation brings them to AWS; provisioned concurrency follows the traffic."""
import pytest

from function_scene import Scene

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


@pytest.fixture(scope="module")
def scene():
    made = Scene(lambda_local={"LAMBDA_LOCAL_READY_DELAY_MS": "15"})
    try:
        yield made
    finally:
        made.close()


def reserved(scene, app):
    return scene.hand.get_function(FunctionName=app).get("Concurrency", {}).get("ReservedConcurrentExecutions")


def tags(scene, app):
    """Without our marks, which are there always."""
    shown = scene.hand.list_tags(Resource=ARN + app)["Tags"]
    assert {name for name in shown if name.startswith("app-orchestrator:")} == {"app-orchestrator:app", "app-orchestrator:installation"}
    return {name: value for name, value in shown.items() if not name.startswith("app-orchestrator:")}


def steps(operation):
    return [step["name"] for step in operation["steps"]]


def test_tags_and_reserved_concurrency_come_with_the_function_and_change_at_once(scene):
    scene.relay.count()
    assert scene.change("PUT", "/v1/apps/shop", {"tags": {"team": "web", "cost centre": "7"}, "concurrency": {"reserved": 5}}, 201) is None
    assert scene.call("GET", "/v1/apps/shop")["concurrency"] == {"reserved": 5, "provisioned": None}
    deployed = scene.deploy("shop")
    assert "configure-function" in steps(deployed) and "provide-concurrency" not in steps(deployed)
    assert tags(scene, "shop") == {"team": "web", "cost centre": "7"} and reserved(scene, "shop") == 5
    said = dict(scene.said())
    assert said["CreateFunction"]["Tags"]["team"] == "web" and said["PutFunctionConcurrency"]["ReservedConcurrentExecutions"] == 5

    scene.hand.tag_resource(Resource=ARN + "shop", Tags={"theirs": "stays"})
    done = scene.change("PATCH", "/v1/apps/shop", {"tags": {"team": "shop", "cost centre": None, "new": ""}, "concurrency": {"reserved": 0}})
    assert done["state"] == "succeeded" and done["type"] == "configure" and steps(done) == ["configure-function"]
    assert tags(scene, "shop") == {"team": "shop", "new": "", "theirs": "stays"} and reserved(scene, "shop") == 0
    with pytest.raises(scene.hand.exceptions.TooManyRequestsException):
        scene.hand.invoke(FunctionName="shop")
    done = scene.change("PATCH", "/v1/apps/shop", {"tags": None, "concurrency": None})
    assert done["state"] == "succeeded" and tags(scene, "shop") == {"theirs": "stays"} and reserved(scene, "shop") is None
    assert {name for name, _ in scene.said()} >= {"TagResource", "UntagResource", "PutFunctionConcurrency", "DeleteFunctionConcurrency"}
    assert scene.change("PATCH", "/v1/apps/shop", {"description": "no business of AWS's"}) is None


def test_provisioned_concurrency_is_ready_before_traffic_moves_and_leaves_the_old_version_after(scene):
    scene.deploy("warm")
    assert scene.provided("warm") == {}
    done = scene.change("PATCH", "/v1/apps/warm", {"concurrency": {"provisioned": 2}})
    assert done["state"] == "succeeded" and scene.provided("warm") == {"1": 2}
    scene.relay.count()
    deployed = scene.deploy("warm")
    assert steps(deployed).index("provide-concurrency") < steps(deployed).index("shift-traffic")
    assert scene.hand.get_provisioned_concurrency_config(FunctionName="warm", Qualifier="2")["Status"] == "READY"
    scene.idle("warm")
    assert scene.provided("warm") == {"2": 2}
    assert ("DeleteProvisionedConcurrencyConfig", {"FunctionName": "warm", "Qualifier": "1"}) in scene.said()
    back = scene.change("POST", "/v1/apps/warm/rollback", {"version": 1})
    assert back["type"] == "configure" and back["state"] == "succeeded" and scene.provided("warm") == {"1": 2}
    scene.deploy("warm", {"traffic": "none"})
    scene.idle("warm")
    assert scene.provided("warm") == {"1": 2}
    scene.change("PUT", "/v1/apps/warm/traffic", {"versions": [{"version": 1, "percent": 50}, {"version": 3, "percent": 50}]})
    assert scene.provided("warm") == {"1": 2, "3": 2}
    scene.change("PATCH", "/v1/apps/warm", {"concurrency": {"provisioned": 1}})
    assert scene.provided("warm") == {"1": 1, "3": 1}
    done = scene.change("PATCH", "/v1/apps/warm", {"concurrency": {"provisioned": None}})
    assert done["state"] == "succeeded" and scene.provided("warm") == {}
    scene.said()


def test_what_is_reserved_holds_what_is_provided_whichever_way_they_change(scene):
    scene.call("PUT", "/v1/apps/tight", {"concurrency": {"reserved": 4, "provisioned": 3}}, status=201)
    scene.deploy("tight")
    scene.idle("tight")
    assert scene.provided("tight") == {"1": 3} and reserved(scene, "tight") == 4
    deployed = scene.deploy("tight")  # there is no room for two versions: the old one goes first, once it has no traffic
    step = next(step for step in deployed["steps"] if step["name"] == "provide-concurrency")
    assert "no room for two versions" in step["detail"]
    scene.idle("tight")
    assert scene.provided("tight") == {"2": 3}
    done = scene.change("PATCH", "/v1/apps/tight", {"concurrency": {"reserved": 2, "provisioned": 1}})
    assert done["state"] == "succeeded" and scene.provided("tight") == {"2": 1} and reserved(scene, "tight") == 2
    done = scene.change("PATCH", "/v1/apps/tight", {"concurrency": {"reserved": 9, "provisioned": 8}})
    assert done["state"] == "succeeded" and scene.provided("tight") == {"2": 8} and reserved(scene, "tight") == 9
    errors = scene.call("PATCH", "/v1/apps/tight", {"concurrency": {"provisioned": 10}, "tags": {"aws:x": "y", "long": "x" * 257}}, status=422)["errors"]
    assert {error["pointer"] for error in errors} >= {"/tags/aws:x", "/tags/long"}
    errors = scene.call("PATCH", "/v1/apps/tight", {"concurrency": {"provisioned": 10}}, status=422)["errors"]
    assert [error["pointer"] for error in errors] == ["/concurrency/provisioned"]


def test_what_aws_refuses_is_told_by_the_operation(scene):
    scene.deploy("greedy")
    done = scene.change("PATCH", "/v1/apps/greedy", {"concurrency": {"reserved": 100000}})
    assert done["state"] == "failed" and "UnreservedConcurrentExecution below its minimum" in done["problem"]["detail"]
    assert scene.change("PATCH", "/v1/apps/greedy", {"concurrency": {"reserved": None}})["state"] == "succeeded"


def test_documents_and_undone_changes_reach_aws_too(scene):
    scene.deploy("listed")
    done = scene.call("POST", "/v1/apply", {"apps": [{"name": "listed", "tags": {"by": "document"}, "concurrency": {"reserved": 3}, "probe": None}]}, status=200)
    assert done["state"] == "succeeded", done
    assert tags(scene, "listed") == {"by": "document"} and reserved(scene, "listed") == 3
    change = scene.call("GET", "/v1/apps/listed/history", status=200)["items"][0]
    scene.change("POST", f"/v1/apps/listed/history/{change['id']}/undo")
    scene.idle("listed")
    assert tags(scene, "listed") == {} and reserved(scene, "listed") is None
