"""What a path in a source tree tells: the language of a file, and whether a person wrote it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final, Literal

Part = Literal["code", "config", "test", "docs", "noise"]
"""What a file is to a reader of a change; `noise` is what no person wrote: locks, builds, vendored copies."""

_LANGUAGES: Final = {
    "bash": ".sh .bash .zsh",
    "c": ".c .h",
    "cpp": ".cc .cpp .cxx .hh .hpp .hxx",
    "csharp": ".cs",
    "css": ".css .scss .sass .less",
    "dart": ".dart",
    "elixir": ".ex .exs",
    "erlang": ".erl .hrl",
    "fish": ".fish",
    "go": ".go",
    "haskell": ".hs",
    "html": ".html .htm .hbs .ejs .jinja .j2",
    "java": ".java",
    "javascript": ".js .mjs .cjs .jsx",
    "json": ".json .jsonc .json5",
    "julia": ".jl",
    "kotlin": ".kt .kts",
    "lua": ".lua",
    "make": ".mk",
    "markdown": ".md .markdown .mdx .mdown",
    "nix": ".nix",
    "objectivec": ".m .mm",
    "ocaml": ".ml .mli",
    "perl": ".pl .pm .t",
    "php": ".php",
    "powershell": ".ps1 .psm1",
    "python": ".py .pyi .pyx",
    "r": ".r",
    "rst": ".rst",
    "ruby": ".rb .rake .gemspec",
    "rust": ".rs",
    "scala": ".scala",
    "sql": ".sql",
    "svelte": ".svelte",
    "swift": ".swift",
    "toml": ".toml",
    "typescript": ".ts .mts .cts .tsx",
    "vue": ".vue",
    "xml": ".xml",
    "yaml": ".yml .yaml",
    "zig": ".zig",
}
_BY_SUFFIX: Final = {suffix: name for name, suffixes in _LANGUAGES.items() for suffix in suffixes.split()}
_BY_NAME: Final = {
    "cmakelists.txt": "cmake",
    "dockerfile": "dockerfile",
    "gemfile": "ruby",
    "jenkinsfile": "groovy",
    "justfile": "just",
    "makefile": "make",
    "rakefile": "ruby",
}
_CONFIG: Final = frozenset({"json", "toml", "yaml", "xml", "make", "cmake", "dockerfile", "nix", "just"})
_PROSE_SUFFIXES: Final = frozenset({".md", ".markdown", ".mdx", ".mdown", ".rst", ".txt", ".adoc", ".org", ".1"})

_LOCKS: Final = frozenset(
    "package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lockb bun.lock cargo.lock poetry.lock "
    "uv.lock "
    "pdm.lock pipfile.lock gemfile.lock composer.lock go.sum go.work.sum flake.lock mix.lock podfile.lock "
    "pubspec.lock "
    "packages.lock.json deno.lock package.resolved gradle.lockfile .terraform.lock.hcl pixi.lock "
    "conda-lock.yml".split()
)
_NOISE: Final = re.compile(
    r"""(?:^|/)(?:node_modules|bower_components|vendor|vendored|third[_-]party|dist|__snapshots__|\.yarn)/
    | \.min\.(?:js|css|mjs)$ | \.(?:js|css|mjs)\.map$ | \.bundle\.js$
    | _pb2(?:_grpc)?\.pyi?$ | \.pb\.(?:go|cc|h)$ | \.g\.dart$ | \.freezed\.dart$ | \.designer\.cs$
    | (?:\.|_|-)generated\.[a-z]+$ | \.snap$ | \.ipynb$ | \.(?:svg|pot?|csv|tsv|patch|diff|xcassets|pem|crt|cer|csr)$
    | (?:^|/)(?:\.all-contributorsrc|\.mailmap|contributors\.md|authors(?:\.md|\.txt)?)$""",
    re.VERBOSE | re.IGNORECASE,
)
_TEST: Final = re.compile(
    r"(?:^|/)(?:tests?|specs?|__tests__|testdata|fixtures|e2e|benches|benchmarks?)/"
    r"|(?:^|/)(?:test_[^/]*|conftest\.py)$|[._-](?:test|spec|tests)\.[a-z]+$|(?:^|/)tests?\.[a-z]+$",
    re.IGNORECASE,
)
_DOCS: Final = re.compile(r"(?:^|/)(?:docs?|documentation)/", re.IGNORECASE)


def language_of(path: str) -> str | None:
    """The language of the file at `path` by its name, in lower case ("python", "markdown"), or None."""
    pure = PurePosixPath(path)
    return _BY_NAME.get(pure.name.lower()) or _BY_SUFFIX.get(pure.suffix.lower())


def part_of(path: str) -> Part:
    """What the file at `path` is to a reader of a change, judged by its name alone."""
    pure = PurePosixPath(path)
    if pure.name.lower() in _LOCKS or _NOISE.search(path):
        return "noise"
    if _TEST.search(path):
        return "test"
    if pure.suffix.lower() in _PROSE_SUFFIXES or _DOCS.search(path):
        return "docs"
    language = language_of(path)
    return "config" if language is None or language in _CONFIG else "code"
