# ruff: noqa: E501 -- templates of texts are easier to read unbroken
"""A corpus of made-up secrets and of what only looks like one, from a seed. No value is anybody's.

Formats are put together from pieces at run time. `FAMILIES` holds two sets of contexts that share no template: "tune"
may be looked at while patterns are written, "report" is what is quoted.
"""

from __future__ import annotations

import base64
import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass

ALNUM, HEX, UPPER = string.ascii_letters + string.digits, "0123456789abcdef", string.ascii_uppercase + "234567"
LOWER = string.ascii_lowercase + string.digits
URL_SAFE = ALNUM + "_-"
Maker = Callable[[random.Random], str]


@dataclass(frozen=True, slots=True)
class Sample:
    """A text with the secrets in it; a decoy has none.

    Attributes:
        name: a file's name, for scanners that look at it.
        text: what is scanned.
        secrets: the values that must be found.
        kind: whose secret it is, or what the decoy is.
    """

    name: str
    text: str
    secrets: tuple[str, ...]
    kind: str


def _r(alphabet: str, n: int) -> Maker:
    return lambda rng: "".join(rng.choice(alphabet) for _ in range(n))


def _p(*pieces: str | Maker) -> Maker:
    return lambda rng: "".join(p if isinstance(p, str) else p(rng) for p in pieces)


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _jwt(rng: random.Random) -> str:
    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    head = part('{"alg":"HS256","typ":"JWT"}')
    return f"{head}.{part(chr(123) + chr(34) + 'sub' + chr(34) + ':' + str(rng.randrange(10**9)) + '}')}.{_r(URL_SAFE, 43)(rng)}"


PROVIDERS: dict[str, Maker] = {
    "aws": _p("AK" + "IA", _r(UPPER, 16)),
    "aws session": _p("AS" + "IA", _r(UPPER, 16)),
    "github": _p("gh" + "p_", _r(ALNUM, 36)),
    "github app": _p("gh" + "s_", _r(ALNUM, 36)),
    "github fine-grained": _p("github" + "_pat_", _r(ALNUM, 22), "_", _r(ALNUM, 59)),
    "gitlab": _p("gl" + "pat-", _r(URL_SAFE, 20)),
    "gitlab runner": _p("gl" + "rt-", _r(URL_SAFE, 20)),
    "atlassian": _p("ATA" + "TT3xFfGF0", _r(URL_SAFE, 170), "=", _r("0123456789ABCDEF", 8)),
    "openai": _p("s" + "k-", _r(ALNUM, 20), "T3Blbk" + "FJ", _r(ALNUM, 20)),
    "openai project": _p("s" + "k-proj-", _r(URL_SAFE, 74), "T3Blbk" + "FJ", _r(URL_SAFE, 74)),
    "anthropic": _p("s" + "k-ant-api03-", _r(URL_SAFE, 93), "AA"),
    "openrouter": _p("s" + "k-or-v1-", _r(HEX, 64)),
    "slack bot": _p("xo" + "xb-", _r("123456789", 12), "-", _r("123456789", 12), "-", _r(ALNUM, 24)),
    "slack app": _p("xa" + "pp-1-A", _r(UPPER, 10), "-", _r("123456789", 13), "-", _r(HEX, 64)),
    "slack webhook": _p("https://hooks.slack.com/", "services/T", _r(UPPER, 8), "/B", _r(UPPER, 8), "/", _r(ALNUM, 24)),
    "discord bot": _p("M", _r(ALNUM, 25), ".", _r(URL_SAFE.replace("-", ""), 6), ".", _r(ALNUM, 38)),
    "telegram": _p(_r("123456789", 10), ":A" + "A", _r(URL_SAFE, 33)),
    "google api": _p("AI" + "za", _r(URL_SAFE, 35)),
    "google oauth": _p("GOC" + "SPX-", _r(URL_SAFE, 28)),
    "stripe": _p("sk" + "_live_", _r(ALNUM, 24)),
    "stripe restricted": _p("rk" + "_live_", _r(ALNUM, 99)),
    "stripe webhook": _p("wh" + "sec_", _r(ALNUM, 32)),
    "square": _p("sq0" + "csp-", _r(URL_SAFE, 43)),
    "shopify": _p("shp" + "at_", _r(HEX, 32)),
    "plaid": _p("access" + "-production-", _uuid),
    "twilio": _p("S" + "K", _r(HEX, 32)),
    "sendgrid": _p("S" + "G.", _r(URL_SAFE, 22), ".", _r(URL_SAFE, 43)),
    "mailgun": _p("ke" + "y-", _r(HEX, 32)),
    "mailchimp": _p(_r(HEX, 32), "-us", _r("12345678", 1)),
    "brevo": _p("xkey" + "sib-", _r(HEX, 64), "-", _r(ALNUM, 16)),
    "hugging face": _p("h" + "f_", _r(string.ascii_letters, 34)),
    "npm": _p("np" + "m_", _r(ALNUM, 36)),
    "pypi": _p("py" + "pi-AgEIcHlwaS5vcmc", _r(URL_SAFE, 90)),
    "rubygems": _p("ruby" + "gems_", _r(HEX, 48)),
    "docker hub": _p("dck" + "r_pat_", _r(URL_SAFE, 27)),
    "digitalocean": _p("do" + "p_v1_", _r(HEX, 64)),
    "databricks": _p("da" + "pi", _r(HEX, 32)),
    "new relic": _p("NR" + "AK-", _r(UPPER, 27)),
    "grafana": _p("gl" + "sa_", _r(ALNUM, 32), "_", _r(HEX, 8)),
    "sentry": _p("sntr" + "yu_", _r(HEX, 64)),
    "linear": _p("lin" + "_api_", _r(ALNUM, 40)),
    "notion": _p("nt" + "n_", _r("0123456789", 11), _r(ALNUM, 35)),
    "airtable": _p("pa" + "t", _r(ALNUM, 14), ".", _r(HEX, 64)),
    "hubspot": _p("pat" + "-na1-", _uuid),
    "postman": _p("PM" + "AK-", _r(HEX, 24), "-", _r(HEX, 34)),
    "vault": _p("hv" + "s.", _r(URL_SAFE, 90)),
    "terraform": _p(_r(ALNUM, 14), ".atlas" + "v1.", _r(URL_SAFE, 67)),
    "pulumi": _p("pu" + "l-", _r(HEX, 40)),
    "doppler": _p("dp" + ".pt.", _r(ALNUM, 43)),
    "planetscale": _p("pscale" + "_tkn_", _r(URL_SAFE, 43)),
    "groq": _p("gs" + "k_", _r(ALNUM, 52)),
    "replicate": _p("r" + "8_", _r(ALNUM, 37)),
    "azure application": _p(_r(ALNUM, 3), "8" + "Q~", _r(ALNUM + "_~.-", 31)),
    "dynatrace": _p("dt0" + "c01.", _r(UPPER, 24), ".", _r(UPPER, 64)),
    "jwt": _jwt,
}  # fmt: skip

NAMED: dict[str, tuple[str, Maker]] = {
    "aws secret": ("aws_secret_access_key", _r(ALNUM + "+/", 40)),
    "datadog": ("datadog_api_key", _r(HEX, 32)),
    "heroku": ("heroku_api_key", _uuid),
    "azure storage": ("account_key", _p(_r(ALNUM + "+/", 86), "==")),
    "pagerduty": ("pagerduty_token", _p("u+", _r(ALNUM, 18))),
    "algolia": ("algolia_admin_api_key", _r(HEX, 32)),
    "twitch": ("twitch_client_secret", _r(LOWER, 30)),
    "session secret": ("session_secret", _r(ALNUM, 40)),
    "cloudflare": ("cloudflare_api_token", _r(URL_SAFE, 40)),
    "fastly": ("fastly_api_token", _r(URL_SAFE, 32)),
}
WORDS = "otter maple copper violin harbor lantern pebble saffron thunder walnut ember glacier".split()


def _password(rng: random.Random) -> str:
    word, sign = rng.choice(WORDS), rng.choice("!$#&*?-_")
    forms = [
        f"{word.title()}{rng.randrange(10, 9999)}{sign}",
        f"{word[:4]}{sign}{rng.choice(WORDS)[:5]}{rng.randrange(10, 99)}",
    ]
    return rng.choice([*forms, "".join(rng.choice(ALNUM + "!$&*?") for _ in range(11)) + str(rng.randrange(10))])


Context = tuple[str, str]
TOKEN_CONTEXTS: dict[str, list[Context]] = {
    "tune": [
        ("app.py", 'client = Client(token="{v}", timeout=30)\nclient.connect()\n'),
        (".env", "LOG_LEVEL=info\nSERVICE_TOKEN={v}\nPORT=8080\n"),
        ("config.yaml", "service:\n  url: https://api.service.net\n  token: {v}\n"),
        ("app.log", "2026-03-02 10:22:11 DEBUG request headers: Authorization: Bearer {v}\n"),
        ("chat.txt", "User: can you check why this fails? I use {v} as the token\nAssistant: Let me look.\n"),
        ("main.go", 'func main() {{\n\tc := New("{v}")\n\tc.Run()\n}}\n'),
    ],
    "report": [
        ("index.js", "const sdk = require('sdk');\nconst s = sdk('{v}');\nmodule.exports = s;\n"),
        ("settings.toml", '[upstream]\nendpoint = "https://up.stream.io"\ncredential = "{v}"\nretries = 3\n'),
        ("deploy.sh", '#!/bin/sh\ncurl -sS -H "Authorization: Bearer {v}" https://api.host.io/v2/deploys\n'),
        ("worker.log", "[warn] 401 from upstream, sent key {v}, will retry in 5 s\n"),
        ("chat.txt", "here you go: {v}\nplease don't share it, thanks!\n"),
        ("data.json", '{{"name": "prod", "region": "eu-1", "apiToken": "{v}", "ttl": 3600}}\n'),
        ("Main.java", 'class Main {{\n  private static final String TOKEN = "{v}";\n}}\n'),
        ("notes.md", "# Setup\n\nExport the token first:\n\n```sh\nexport SERVICE_TOKEN={v}\n```\n"),
    ],
}
NAMED_CONTEXTS: dict[str, list[Context]] = {
    "tune": [
        (".env", "{N}={v}\nDEBUG=false\n"),
        ("settings.py", '{n} = "{v}"\nretries = 4\n'),
        ("values.yaml", "env:\n  {n}: {v}\n"),
    ],
    "report": [
        ("config.json", '{{"{n}": "{v}", "debug": false}}\n'),
        ("ci.yml", "steps:\n  - run: make deploy\n    env:\n      {N}: '{v}'\n"),
        ("Dockerfile", "FROM debian:13\nENV {N}={v}\nRUN make\n"),
        ("main.rb", "config.{n} = '{v}'\n"),
        ("run.log", "loaded setting {n}={v} from environment\n"),
    ],
}
PASSWORD_CONTEXTS: dict[str, list[Context]] = {
    "tune": [
        (".env", "DB_PASSWORD={v}\n"),
        ("db.py", 'connect(host="db1", user="svc", password="{v}")\n'),
        ("urls.txt", "postgresql://svc:{v}@db1.corp.net:5432/app\n"),
        ("chat.txt", "User: the password is {v} by the way\n"),
    ],
    "report": [
        ("application.properties", "spring.datasource.username=svc\nspring.datasource.password={v}\n"),
        ("docker-compose.yml", "services:\n  db:\n    environment:\n      MYSQL_ROOT_PASSWORD: {v}\n"),
        ("backup.sh", "mysqldump -h db2 -u root -p{v} shop > shop.sql\n"),
        ("login.js", "await page.login({{ user: 'svc', password: '{v}' }});\n"),
        ("app.config", 'connectionString="Server=db3;Database=shop;User Id=svc;Password={v};Encrypt=true"\n'),
        ("mongo.ts", "export const url = 'mongodb+srv://svc:{v}@c0.corp.net/shop';\n"),
        ("chat.txt", "my login is svc and the password is {v}\nCan you log in and see?\n"),
        ("wget.log", "wget --user svc --password {v} https://files.corp.net/dump.tgz\n"),
    ],
}


def _key_block(rng: random.Random) -> str:
    body = "\n".join(_r(ALNUM + "+/", 64)(rng) for _ in range(8))
    kind = rng.choice(["RSA ", "EC ", "", "OPENSSH "]) + "PRIVATE" + " KEY"
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"


def _lock(rng: random.Random) -> str:
    digest = base64.b64encode(rng.randbytes(64)).decode()
    return f'"left-pad": {{"version": "1.{rng.randrange(9)}.0", "integrity": "sha512-{digest}"}}\n'


def _minified(rng: random.Random) -> str:
    names = [rng.choice(string.ascii_letters) for _ in range(40)]
    return (
        ";".join(
            f"var {a}=function({b}){{return {b}.{c}+{rng.randrange(99)}}}"
            for a, b, c in zip(names, names[1:], names[2:], strict=False)
        )
        + "\n"
    )


DECOYS: dict[str, dict[str, list[tuple[str, Maker]]]] = {
    "tune": {
        "uuid": [("a.py", _p('request_id = "', _uuid, '"\n')), ("a.log", _p("user ", _uuid, " logged in\n"))],
        "git hash": [("a.md", _p("Fixed in commit ", _r(HEX, 40), ".\n")), ("a.yml", _p("rev: ", _r(HEX, 40), "\n"))],
        "lock file": [("package-lock.json", _lock)],
        "code": [
            ("a.py", lambda _: "def login(user: str, password: str) -> Token:\n    return check(user, password)\n"),
            ("b.py", lambda _: "token = next(tokens)\nkey = lambda row: row.key2\n"),
            ("c.py", lambda _: 'password = os.environ["DB_PASSWORD"]\n'),
        ],
        "placeholder": [(".env.sample", lambda rng: f"API_KEY={rng.choice(['changeme', 'your-api-key', '<key>', 'xxxxxxxx'])}\n")],
    },
    "report": {
        "uuid": [
            ("model.json", _p('{"id": "', _uuid, '", "parent": "', _uuid, '"}\n')),
            ("trace.log", _p("trace_id=", _uuid, " span=", _r(HEX, 16), " took 12 ms\n")),
        ],
        "hash": [
            ("log.txt", _p("commit ", _r(HEX, 40), "\nAuthor: A. Person\n\n    Fix the parser\n")),
            ("Dockerfile", _p("FROM python@sha256:", _r(HEX, 64), "\n")),
            ("sums.txt", _p(_r(HEX, 64), "  dist.tar.gz\n")),
            ("etag.log", _p('HTTP/1.1 200 OK\nETag: "', _r(HEX, 32), '"\n')),
        ],
        "base64 image": [
            ("page.html", lambda rng: f'<img src="data:image/png;base64,iVBORw0KGgo{base64.b64encode(rng.randbytes(300)).decode()}">\n'),
            ("style.css", lambda rng: f"url(data:font/woff2;base64,{base64.b64encode(rng.randbytes(240)).decode()})\n"),
        ],
        "minified": [("app.min.js", _minified)],
        "lock file": [
            ("yarn.lock", lambda rng: f'chalk@^5:\n  version "5.3.{rng.randrange(9)}"\n  resolved "https://registry.org/chalk.tgz#{_r(HEX, 40)(rng)}"\n  integrity sha512-{base64.b64encode(rng.randbytes(64)).decode()}\n'),
            ("Cargo.lock", _p('[[package]]\nname = "serde"\nversion = "1.0.2"\nchecksum = "', _r(HEX, 64), '"\n')),
            ("poetry.lock", _p('files = [{file = "six.whl", hash = "sha256:', _r(HEX, 64), '"}]\n')),
        ],
        "placeholder": [
            ("config.sample.yml", lambda rng: f"password: {rng.choice(['changeme', 'CHANGE_ME', 'example', 'your_password', '********', '<password>'])}\n"),
            ("README.md", lambda rng: f"Run with `--token {rng.choice(['$TOKEN', '<your-token>', 'YOUR_TOKEN', '${TOKEN}'])}`.\n"),
            ("compose.yml", lambda _: "environment:\n  POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?required}\n"),
        ],
        "example key": [
            ("guide.md", lambda _: "For example, `AK" + "IAIOSFODNN7EXAMPLE` is an access key id.\n"),
            ("guide2.md", lambda _: "secret = wJalrXUtnFEMI/" + "K7MDENG/bPxRfiCYEXAMPLEKEY\n"),
            ("guide3.md", lambda rng: f"OPENAI_API_KEY=s{'k-' + 'x' * rng.randrange(20, 48)}\n"),
        ],
        "code": [
            ("auth.ts", lambda _: "interface Login { user: string; password: string; token?: string }\n"),
            ("util.py", lambda rng: f'cache_key = f"user:{{uid}}:v{rng.randrange(9)}"\nprimary_key = "id"\n'),
            ("zoo.py", lambda rng: f"monkey=banana{rng.randrange(99)}\nturnkey = 'solution{rng.randrange(9)}'\n"),
            ("lex.py", lambda rng: f"token = self.tokens[i + {rng.randrange(9)}]\nmax_tokens = 4096\ntoken_type_ids = None\n"),
            ("Form.vue", lambda _: '<input type="password" v-model="password" placeholder="Password" />\n'),
            ("test_auth.py", lambda _: "assert response.status_code == 401\npassword = getpass.getpass('Password: ')\n"),
            ("i18n.json", lambda _: '{"password": "Password", "forgot_password": "Forgot your password?"}\n'),
            ("keys.js", lambda rng: f"map.set('row-{rng.randrange(10**6)}', key);\nconst key = event.key;\n"),
        ],
        "chat": [
            ("chat.txt", lambda _: "How do I rotate an API key safely? The token is sent in a header, isn't it?\n"),
            ("chat.txt", lambda _: "What makes a password strong? Mine is only eight characters.\n"),
            ("chat.txt", lambda rng: f"Order {rng.randrange(10**11, 10**12)} shipped, tracking 1Z{rng.randrange(10**15, 10**16)}.\n"),
        ],
    },
}  # fmt: skip


def corpus(seed: int, family: str, per_kind: int = 6) -> list[Sample]:
    """Samples of every format in contexts of `family`, and half again as many decoys, in random order."""
    rng, made = random.Random(seed), []

    def add(kind: str, value: str, contexts: list[Context], name: str = "") -> None:
        file, text = rng.choice(contexts)
        filled = text.format(v=value, n=name, N=name.upper())
        secret = value.removeprefix("https://hooks.slack.com/")
        made.append(Sample(file, filled, (secret,), kind))

    for _ in range(per_kind):
        for kind, maker in PROVIDERS.items():
            add(kind, maker(rng), TOKEN_CONTEXTS[family])
        for kind, (name, maker) in NAMED.items():
            add(kind, maker(rng), NAMED_CONTEXTS[family], name)
        for _ in range(10):
            add("password", _password(rng), PASSWORD_CONTEXTS[family])
        block = _key_block(rng)
        made.append(Sample("id.pem", f"{block}\n", (block,), "private key"))
    decoys = [(kind, name, maker) for kind, some in DECOYS[family].items() for name, maker in some]
    for number in range(len(made) * 3 // 2):
        kind, name, maker = decoys[number % len(decoys)]
        made.append(Sample(name, maker(rng), (), kind))
    rng.shuffle(made)
    return made
