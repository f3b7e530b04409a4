"""What holds the daemons' calls against AWS's model finds what AWS would refuse, and passes what AWS's own client sends."""
import json

import pytest

import aws_calls
import aws_model
from harness import example_zip

SIGNED = {"authorization": "", "content-type": "application/json"}
CREATION = {"FunctionName": "hello", "Role": "arn:aws:iam::000000000000:role/apps", "Runtime": "nodejs18.x",
            "Handler": "index.handler", "Code": {"ZipFile": "UEsFBg=="}}


def faults(method, target, body=None, headers=SIGNED, service="lambda"):
    found = aws_model.look(service, method, target, headers, body)
    return found.operation, [fault.split(": ", 1)[1] for fault in found.faults]


def creation(**more):
    members = {**CREATION, **more}
    text = json.dumps({name: value for name, value in members.items() if value is not None})
    return faults("POST", "/2015-03-31/functions", text)[1]


def test_a_lawful_creation_has_no_fault():
    assert faults("POST", "/2015-03-31/functions", json.dumps(CREATION)) == ("CreateFunction", [])


@pytest.mark.parametrize("members, fault", [
    ({"FunctionName": "no blanks"}, "FunctionName does not match"),
    ({"Role": None}, "the request lacks Role"),
    ({"Timeout": 0}, "Timeout has the value 0"),
    ({"Timeout": "3"}, "Timeout is no integer"),
    ({"MemorySize": 64}, "MemorySize has the value 64"),
    ({"Description": "x" * 257}, "Description has the length 257"),
    ({"Runtime": "cobol"}, "Runtime is none of its enumeration"),
    ({"Architectures": ["arm64", "x86_64"]}, "Architectures has the length 2"),
    ({"Environment": {"Variables": {"1": "x"}}}, "a key of Environment.Variables does not match"),
    ({"Environment": {"Wariables": {}}}, "Environment has the unknown member Wariables"),
    ({"Code": {"ZipFile": "no base64"}}, "Code.ZipFile is not base64"),
    ({"Publish": "true"}, "Publish is no boolean"),
    ({"Tags": ["a"]}, "Tags is no map"),
    ({"Layers": "a"}, "Layers is no list"),
    ({"Colour": "red"}, "the body has the unknown member Colour"),
])
def test_what_aws_would_refuse_is_found(members, fault):
    found = creation(**members)
    assert len(found) == 1 and found[0].startswith(fault), found


@pytest.mark.parametrize("method, target, body, fault", [
    ("GET", "/2015-03-31/functions/hello?Qualifir=1", None, "the query has the unknown parameter Qualifir"),
    ("GET", "/2015-03-31/functions/hello/versions?MaxItems=0", None, "MaxItems has the value 0"),
    ("GET", "/2015-03-31/functions/hello/versions?MaxItems=many", None, "MaxItems is no integer"),
    ("GET", "/2015-03-31/functions/no%20blanks", None, "FunctionName does not match"),
    ("GET", "/2016-03-31/functions/hello", None, "no operation is GET"),
    ("DELETE", "/2015-03-31/functions/hello", '{"Force": true}', "the body is of an operation that takes none"),
    ("POST", "/2015-03-31/functions/hello/versions", "[]", "the body is no JSON object"),
])
def test_paths_queries_and_bodies_are_held_against_the_model(method, target, body, fault):
    found = faults(method, target, body)[1]
    assert any(each.startswith(fault) for each in found), found


def test_headers_and_the_signature_are_held_against_the_model():
    target = "/2015-03-31/functions/hello/invocations"
    assert faults("POST", target, None, {**SIGNED, "x-amz-log-type": "Tail"}) == ("Invoke", [])
    assert faults("POST", target, None, {**SIGNED, "x-amz-log-type": "Head"})[1] == ["LogType is none of its enumeration"]
    assert faults("POST", target, None, {**SIGNED, "x-amz-log": "x"})[1] == ["the request has the unknown header x-amz-log"]
    assert faults("POST", target, None, {})[1] == ["a request without a signature"]
    assert faults("POST", "/2015-03-31/functions", "{}", {**SIGNED, "content-type": "text/plain"})[1][0] == \
        "Content-Type is not application/json"


@pytest.mark.parametrize("method, target, headers, operation", [
    ("PUT", "/bucket/a/b.zip", {}, "PutObject"),
    ("PUT", "/bucket/a/b.zip", {"x-amz-copy-source": "/bucket/c"}, "CopyObject"),
    ("PUT", "/bucket/a/b.zip?partNumber=1&uploadId=x", {}, "UploadPart"),
    ("POST", "/bucket/k?uploads=", {}, "CreateMultipartUpload"),
    ("POST", "/bucket/k?uploadId=3", {}, "CompleteMultipartUpload"),
    ("DELETE", "/bucket/k?uploadId=3", {}, "AbortMultipartUpload"),
    ("DELETE", "/bucket/k", {}, "DeleteObject"),
    ("HEAD", "/bucket/k", {}, "HeadObject"),
    ("GET", "/bucket/k", {}, "GetObject"),
    ("GET", "/bucket?list-type=2&prefix=a", {}, "ListObjectsV2"),
    ("GET", "/bucket?uploads", {}, "ListMultipartUploads"),
])
def test_operations_of_s3_are_told_apart_by_path_query_and_headers(method, target, headers, operation):
    assert faults(method, target, None, {**SIGNED, **headers}, "s3") == (operation, [])


def test_bodies_in_xml_are_held_against_the_model():
    def completion(part):
        xml = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{part}</CompleteMultipartUpload>'
        return faults("POST", "/bucket/k?uploadId=3", xml.encode(), SIGNED, "s3")[1]
    assert completion("<Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>") == []
    assert completion("<Part><PartNumber>one</PartNumber></Part>") == ["MultipartUpload.Parts[0].PartNumber is no integer"]
    assert completion("<Peace/>") == ["MultipartUpload has the unknown member Peace"]


def test_logs_and_sts_are_held_against_their_models():
    logs = {**SIGNED, "x-amz-target": "Logs_20140328.FilterLogEvents", "content-type": "application/x-amz-json-1.1"}
    assert faults("POST", "/", '{"logGroupName": "/aws/lambda/a"}', logs, "logs") == ("FilterLogEvents", [])
    assert faults("POST", "/", '{"logGroupName": "a", "limit": 0}', logs, "logs")[1] == ["limit has the value 0, which is not 1 to 10000"]
    form = "Action=AssumeRole&Version=2011-06-15&RoleSessionName=x1&RoleArn=arn:aws:iam::000000000000:role/x"
    assert faults("POST", "/", form, SIGNED, "sts") == ("AssumeRole", [])
    assert faults("POST", "/", form + "&DurationSeconds=5", SIGNED, "sts")[1] == ["DurationSeconds has the value 5, which is not 900 to 43200"]
    assert faults("POST", "/", form + "&Duration=5", SIGNED, "sts")[1] == ["the request has the unknown member Duration"]


def test_calls_beyond_the_policy_are_found():
    def look(daemon, method, target):
        return aws_calls.judge("lambda", daemon, method, target, SIGNED, None)[2]
    assert look("managerd", "DELETE", "/2015-03-31/functions/hello") == []
    assert look("proxyd", "DELETE", "/2015-03-31/functions/hello") == \
        ["proxyd calls DeleteFunction, and deploy/iam/proxyd.json lacks lambda:DeleteFunction"]


def test_aws_own_client_sends_nothing_that_is_found(lambda_local):
    client = lambda_local.boto3()
    client.create_function(FunctionName="hello", Role=CREATION["Role"], Runtime="nodejs18.x", Handler="index.handler",
                           Code={"ZipFile": example_zip()}, Tags={"a": "b"}, Environment={"Variables": {"NAME": "x"}})
    client.publish_version(FunctionName="hello", Description="one")
    client.tag_resource(Resource="arn:aws:lambda:us-east-1:000000000000:function:hello", Tags={"c": "d"})
    client.list_functions(MaxItems=5)
    client.get_account_settings()
    client.delete_function(FunctionName="hello", Qualifier="1")
    found = []
    for call in map(json.loads, lambda_local.new_calls()):
        found.append(aws_model.look("lambda", call["method"], call["target"], call["headers"], call["body"]))
    assert [(each.operation, each.faults) for each in found] == [
        (name, []) for name in ("CreateFunction", "PublishVersion", "TagResource", "ListFunctions", "GetAccountSettings", "DeleteFunction")]


def test_the_call_log_keeps_no_keys_and_no_payloads(lambda_local):
    client = lambda_local.boto3(aws_session_token="a-token-of-a-session")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nothing", Payload=b'"what an app was told"')
    text = lambda_local.call_log.read_text()
    call, = map(json.loads, text.splitlines())
    assert call["operation"] == "Invoke" and call["bodyBytes"] == 22 and "body" not in call
    assert call["headers"]["authorization"] == call["headers"]["x-amz-security-token"] == ""
    assert "Signature=" not in text and "a-token-of-a-session" not in text and "what an app was told" not in text
    assert lambda_local.call_log.stat().st_mode & 0o777 == 0o600
