"""What the console's tests and pictures look at: apps in several states, a domain, variables, tokens, and text that would be markup."""
from harness import make_zip

TOKEN = "correct-horse-battery-staple"
MARKUP = "<script>window.injected=1</script><img src=x onerror=window.injected=1>"
HANDLER = """exports.handler = async (event) => {
  console.log('served ' + event.rawPath + ' ' + %r);
  return {statusCode: 200, headers: {'content-type': 'text/plain'}, body: 'release %s'};
};"""
FAILING = "exports.handler = async () => { throw new Error(%r); };"


def package(release, text=""):
    return make_zip({"index.js": HANDLER % (text, release)})


def build(stack, text=MARKUP):
    """The scene in a stack whose managerd has TOKEN; gives ids of an operation that succeeded and of one that failed."""
    managerd = stack.managerd
    for release in ("spring", "summer", "autumn"):
        done = stack.deploy("shop", package(release, text), description=f"the {release} release {text}"[:200])
    managerd.request("PATCH", "/v1/apps/shop", {"description": f"Where things are sold {text}", "labels": {"team": "web", "tier": text or "1"}})
    managerd.request("PUT", "/v1/apps/shop/traffic", {"versions": [{"version": 2, "percent": 70}, {"version": 3, "percent": 30}]})
    managerd.request("PATCH", "/v1/apps/shop/environment", {"variables": {"GREETING": "hello", "API_KEY": "secret-value"}})
    stack.deploy("mail", package("one"))
    managerd.request("POST", "/v1/apps/mail/deactivate")
    failed = managerd.deploy("reports", make_zip({"index.js": FAILING % f"no database {text}"}), expect=range(400, 600))
    domain = {"paths": [{"prefix": "/", "app": "shop"}, {"prefix": "/mail", "app": "mail", "stripPrefix": True}]}
    assert managerd.request("PUT", "/v1/domains/shop.example.com", domain).status == 201
    token = {"name": f"pipeline of the web team {text}"[:100], "role": "deployer", "apps": ["shop", "team-*"]}
    assert managerd.request("POST", "/v1/tokens", token).status == 201
    for path in ("/", "/basket", "/search?q=boots"):
        assert stack.app("shop", path).status == 200
    operations = managerd.request("GET", "/v1/operations?limit=500").json()["items"]
    assert failed["status"] >= 400
    return done["id"], next(one["id"] for one in operations if one["state"] == "failed")


def places(done, failed):
    """Every page: name -> (address, what its heading holds)."""
    app = "/apps/shop"
    return {
        "apps": ("/apps", "Apps"), "app": (app, "shop"), "deploy": (f"{app}/deploy", "Deploy"), "logs": (f"{app}/logs", "Logs"),
        "environment": (f"{app}/environment", "Environment"), "history": (f"{app}/history", "History"),
        "settings": (f"{app}/settings", "Settings"), "first-deployment": ("/deploy", "Deploy an app"), "domains": ("/domains", "Domains"),
        "domain": ("/domains/shop.example.com", "shop.example.com"), "new-domain": ("/domain/new", "Add a domain"),
        "operations": ("/operations", "Operations"), "operation": (f"/operations/{done}", "Deploy shop"),
        "failed-operation": (f"/operations/{failed}", "Deploy reports"), "tokens": ("/tokens", "Tokens"), "audit": ("/audit", "Audit"),
        "system": ("/system", "System"),
    }
