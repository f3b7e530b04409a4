"""Others' clients drive lambda-local unchanged: Debian's aws command, the JavaScript SDK; others' runtimes run on it."""
import base64
import json
import os
import shutil
import subprocess

import pytest

import harness
import npm
from harness import make_zip
from lambda_functions import PROVIDED, ROLE, call, client_of, create

AWS = "/usr/bin/aws"
SDK = "@aws-sdk/client-lambda@3.1164.0"
RUNTIME_CLIENT = "aws-lambda-ric@3.3.0"
HANDLER = "exports.handler = async (event, context) => { console.log('seen'); return {got: event, v: context.functionVersion} }"


@pytest.fixture
def aws(lambda_local, tmp_path):
    """Runs /usr/bin/aws lambda …; gives what it printed, parsed."""
    environment = {**harness.clean_environment(tmp_path), "AWS_ACCESS_KEY_ID": "local", "AWS_PAGER": "",
                   "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}

    def run(*arguments, fails=False):
        done = subprocess.run([AWS, "lambda", *arguments, "--endpoint-url", lambda_local.url], cwd=tmp_path,
                              env=environment, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if fails:
            assert done.returncode != 0, done.stdout
            return done.stderr
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


def test_debians_aws_command_lives_a_functions_whole_life(aws, tmp_path):
    (tmp_path / "one.zip").write_bytes(make_zip({"index.js": HANDLER}))
    (tmp_path / "two.zip").write_bytes(make_zip({"index.js": HANDLER.replace("got", "received")}))
    made = aws("create-function", "--function-name", "hello", "--runtime", "nodejs20.x", "--handler", "index.handler",
               "--role", ROLE, "--zip-file", "fileb://one.zip", "--tags", "a=b", "--timeout", "5")
    assert made["State"] == "Active" and made["Timeout"] == 5
    aws("wait", "function-active-v2", "--function-name", "hello")
    assert aws("publish-version", "--function-name", "hello")["Version"] == "1"
    aws("update-function-code", "--function-name", "hello", "--zip-file", "fileb://two.zip")
    aws("wait", "function-updated-v2", "--function-name", "hello")
    aws("update-function-configuration", "--function-name", "hello", "--environment", "Variables={KEY=value}")
    assert aws("publish-version", "--function-name", "hello", "--description", "second")["Version"] == "2"
    aws("create-alias", "--function-name", "hello", "--name", "live", "--function-version", "1")
    answer = aws("invoke", "--function-name", "hello:live", "--log-type", "Tail", "--payload", '{"a": 1}',
                 "--cli-binary-format", "raw-in-base64-out", "out.json")
    assert answer["ExecutedVersion"] == "1" and answer["StatusCode"] == 200
    assert json.loads((tmp_path / "out.json").read_text()) == {"got": {"a": 1}, "v": "1"}
    assert "\tINFO\tseen\n" in base64.b64decode(answer["LogResult"]).decode()
    aws("update-alias", "--function-name", "hello", "--name", "live", "--function-version", "2",
        "--routing-config", "AdditionalVersionWeights={}")
    aws("invoke", "--function-name", made["FunctionArn"], "--qualifier", "live", "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == {"received": {}, "v": "2"}
    aws("invoke", "--function-name", made["FunctionArn"], "--qualifier", "$LATEST", "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["v"] == "$LATEST"
    assert aws("list-tags", "--resource", made["FunctionArn"]) == {"Tags": {"a": "b"}}
    assert aws("get-alias", "--function-name", "hello", "--name", "live")["FunctionVersion"] == "2"
    assert "ResourceConflictException" in aws("delete-function", "--function-name", "hello", "--qualifier", "2",
                                              fails=True)
    aws("delete-alias", "--function-name", "hello", "--name", "live")
    aws("delete-function", "--function-name", "hello", "--qualifier", "2")
    aws("delete-function", "--function-name", "hello")
    assert "(ResourceNotFoundException)" in aws("get-function", "--function-name", "hello", fails=True)


def test_debians_aws_command_pages_through_lists(aws, lambda_local):
    client = client_of(lambda_local)
    for n in range(7):
        create(client, f"f{n}", HANDLER)
    listed = aws("list-functions", "--page-size", "3")
    assert [f["FunctionName"] for f in listed["Functions"]] == [f"f{n}" for n in range(7)]
    first = aws("list-functions", "--max-items", "4", "--page-size", "2")
    assert len(first["Functions"]) == 4
    rest = aws("list-functions", "--starting-token", first["NextToken"])
    assert [f["FunctionName"] for f in rest["Functions"]] == ["f4", "f5", "f6"]
    assert len(aws("list-versions-by-function", "--function-name", "f0")["Versions"]) == 1


SDK_TEST = """
import { LambdaClient, CreateFunctionCommand, InvokeCommand, PublishVersionCommand, CreateAliasCommand, UpdateAliasCommand,
  ListFunctionsCommand, UpdateFunctionCodeCommand, GetFunctionCommand, DeleteFunctionCommand, TagResourceCommand,
  ListTagsCommand, PutFunctionConcurrencyCommand, GetAccountSettingsCommand, paginateListFunctions,
  waitUntilFunctionActiveV2, waitUntilFunctionUpdatedV2 } from '@aws-sdk/client-lambda';
import assert from 'node:assert';
import fs from 'node:fs';

const client = new LambdaClient({ endpoint: process.env.ENDPOINT, region: 'us-east-1', maxAttempts: 1,
  credentials: { accessKeyId: 'local', secretAccessKey: 'local', sessionToken: 'any token' } });
const [one, two] = ['one.zip', 'two.zip'].map((name) => fs.readFileSync(name));
const FunctionName = 'hello';
const made = await client.send(new CreateFunctionCommand({ FunctionName, Role: process.env.ROLE, Runtime: 'nodejs22.x',
  Handler: 'index.handler', Code: { ZipFile: one }, Tags: { a: 'b' } }));
await waitUntilFunctionActiveV2({ client, maxWaitTime: 10 }, { FunctionName });
assert.equal((await client.send(new PublishVersionCommand({ FunctionName }))).Version, '1');
await client.send(new UpdateFunctionCodeCommand({ FunctionName, ZipFile: two }));
await waitUntilFunctionUpdatedV2({ client, maxWaitTime: 10 }, { FunctionName });
assert.equal((await client.send(new PublishVersionCommand({ FunctionName }))).Version, '2');
await client.send(new CreateAliasCommand({ FunctionName, Name: 'live', FunctionVersion: '1' }));
await client.send(new UpdateAliasCommand({ FunctionName, Name: 'live', FunctionVersion: '2' }));
const answer = await client.send(new InvokeCommand({ FunctionName: made.FunctionArn + ':live', LogType: 'Tail',
  Payload: Buffer.from('{"n":1}') }));
assert.deepEqual(JSON.parse(Buffer.from(answer.Payload).toString()), { received: { n: 1 }, v: '2' });
assert.equal(answer.ExecutedVersion, '2');
assert.match(Buffer.from(answer.LogResult, 'base64').toString(), /START RequestId/);
assert.equal((await client.send(new InvokeCommand({ FunctionName, InvocationType: 'Event', Payload: '{}' }))).StatusCode, 202);
await client.send(new TagResourceCommand({ Resource: made.FunctionArn, Tags: { c: 'd' } }));
assert.deepEqual((await client.send(new ListTagsCommand({ Resource: made.FunctionArn }))).Tags, { a: 'b', c: 'd' });
await client.send(new PutFunctionConcurrencyCommand({ FunctionName, ReservedConcurrentExecutions: 0 }));
await assert.rejects(client.send(new InvokeCommand({ FunctionName })),
  (error) => error.name === 'TooManyRequestsException' && error.$metadata.httpStatusCode === 429 && error.retryAfterSeconds === '1');
assert.equal((await client.send(new GetAccountSettingsCommand({}))).AccountUsage.FunctionCount, 1);
for (const name of ['a', 'b', 'c', 'd'])
  await client.send(new CreateFunctionCommand({ FunctionName: name, Role: process.env.ROLE, Runtime: 'nodejs22.x',
    Handler: 'index.handler', Code: { ZipFile: one } }));
const names = [];
for await (const page of paginateListFunctions({ client, pageSize: 2 }, {})) names.push(page.Functions.map((f) => f.FunctionName));
assert.deepEqual(names, [['a', 'b'], ['c', 'd'], ['hello']]);
assert.equal((await client.send(new ListFunctionsCommand({ MaxItems: 3 }))).Functions.length, 3);
await client.send(new DeleteFunctionCommand({ FunctionName }));
await assert.rejects(client.send(new GetFunctionCommand({ FunctionName })), { name: 'ResourceNotFoundException' });
const stranger = new LambdaClient({ endpoint: process.env.ENDPOINT, region: 'us-east-1', maxAttempts: 1,
  credentials: { accessKeyId: 'local', secretAccessKey: 'wrong' } });
await assert.rejects(stranger.send(new ListFunctionsCommand({})), { name: 'InvalidSignatureException' });
console.log('all well');
"""


def test_the_javascript_sdk_lives_a_functions_whole_life(lambda_local):
    folder = npm.install(SDK)
    work = harness.scratch("sdk.")
    (work / "node_modules").symlink_to(folder / "node_modules")
    (work / "one.zip").write_bytes(make_zip({"index.js": HANDLER}))
    (work / "two.zip").write_bytes(make_zip({"index.js": HANDLER.replace("got", "received")}))
    (work / "test.mjs").write_text(SDK_TEST)
    done = subprocess.run(["node", "test.mjs"], cwd=work, timeout=90, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env={**harness.clean_environment(work), "ENDPOINT": lambda_local.url, "ROLE": ROLE})
    assert done.returncode == 0 and "all well" in done.stdout, done.stdout


def runtime_client():
    """The folder with aws-lambda-ric, compiled once (it takes a minute, and build tools)."""
    missing = [tool for tool in ("autoconf", "automake", "libtoolize", "make", "g++", "cmake") if not shutil.which(tool)]
    if missing:
        reason = f"aws-lambda-ric cannot be compiled without {', '.join(missing)}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    folder = npm.install(RUNTIME_CLIENT)
    if not (folder / "compiled").exists():
        done = npm.run("rebuild", "--foreground-scripts", cwd=folder, timeout=540)
        assert done.returncode == 0, done.stdout[-3000:]
        (folder / "compiled").write_text("")
    return folder


@pytest.mark.long  # it compiles for a minute
def test_the_official_node_runtime_client_runs_on_the_runtime_api(lambda_local):
    folder = runtime_client()
    client = client_of(lambda_local)
    files = {
        "bootstrap": f"#!/bin/sh\nexec {shutil.which('node')} {folder}/node_modules/aws-lambda-ric/bin/index.mjs \"$_HANDLER\"\n",
        "index.js": """exports.handler = async (event, context) => {
            if (event.fail) throw new TypeError('no'); if (event.exit) process.exit(2);
            console.log('seen'); return {got: event, left: context.getRemainingTimeInMillis() > 0, arn: context.invokedFunctionArn} }""",
    }
    create(client, "ric", files, runtime=PROVIDED, Timeout=5, MemorySize=512)
    result = call(client, "ric", {"text": "grüße"})
    assert result.error is None, result
    assert result.payload == {"got": {"text": "grüße"}, "left": True,
                              "arn": "arn:aws:lambda:us-east-1:000000000000:function:ric"}
    assert "\tINFO\tseen\n" in result.log
    for n in range(20):
        assert call(client, "ric", {"n": n}).payload["got"] == {"n": n}
    failed = call(client, "ric", {"fail": True})
    assert failed.error == "Unhandled" and failed.payload["errorType"] == "TypeError"
    assert call(client, "ric", {"exit": True}).payload["errorType"] == "Runtime.ExitError"
    assert len(call(client, "ric", {"big": "x" * 3_000_000}).payload["got"]["big"]) == 3_000_000
