"""A linear model that tells the domain of a request: weights of hashed n-grams, added up. README.md is its card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from samloop.curate.domain.ngrams import WORD, Ngrams, ngrams
from samloop.errors import RecipeError
from samloop.example import DOMAINS
from samloop.files import readable

SHIPPED: Final = Path(__file__).with_name("model.safetensors")
"""The model that comes with samloop."""

ABOUT: Final = "samloop domain model"
"""The one key of the file's metadata: more than one would be written in any order."""

VERSION: Final = 1
"""Of the n-grams: a model is read only by the code that cuts texts as its training did."""

MOST_BITS: Final = 20
SHOWN: Final = 4
"""How many n-grams a reason names."""

SURE: Final = 0.3
"""The share that a domain needs; twice that of chance among seven."""

UNKNOWN: Final = "general"

_STEP: Final = 2.0**26


@dataclass(frozen=True)
class DomainModel:
    """Scores of domains: the sum of an n-gram's weights over a request, by the root of their number, plus a bias.

    Sums are of integers, so that a request has the same scores alone and in any batch.

    Attributes:
        domains: the names, in the order of the columns.
        weights: int8 of shape (2 ** bits, domains).
        scale: float64, by which a weight is multiplied.
        bias: float64, one per domain.
    """

    domains: tuple[str, ...]
    weights: np.ndarray
    scale: float
    bias: np.ndarray

    @property
    def bits(self) -> int:
        """Of a bucket's number."""
        return len(self.weights).bit_length() - 1

    @cached_property
    def _pairs(self) -> np.ndarray:
        """The weights by domain, and a one to count with, two in one float64: half as much to add up.

        A request has at most some 1,200 n-grams, so sums stay far below `_STEP` / 2, and all of it is exact.
        """
        columns = np.vstack([self.weights.T, np.ones(len(self.weights))]).astype(np.float64)
        columns = columns if len(columns) % 2 == 0 else np.vstack([columns, np.zeros_like(columns[:1])])
        return np.ascontiguousarray(columns[0::2] + columns[1::2] * _STEP)

    def scores(self, texts: pa.Array) -> np.ndarray:
        """Float64 of shape (texts, domains): the logarithm of each domain's share, but for a constant.

        Args:
            texts: large_string; null is the empty text.
        """
        return self._scores(ngrams(texts, self.bits), len(texts))

    def _scores(self, found: Ngrams, n: int) -> np.ndarray:
        both = np.stack([np.bincount(found.row, pair[found.bucket], minlength=n) for pair in self._pairs], axis=1)
        second = np.rint(both / _STEP)
        sums = np.stack([both - second * _STEP, second], axis=2).reshape(n, -1)
        wide = len(self.domains)
        return np.asarray(sums[:, :wide] * self.scale / np.sqrt(sums[:, wide : wide + 1]) + self.bias)

    def told(self, texts: pa.Array) -> np.ndarray:
        """The domain of each text, "general" where it has no word or no domain has a share of `SURE`.

        Of equal scores the first.
        """
        found, n = ngrams(texts, self.bits), len(texts)
        scores = self._scores(found, n)
        names = np.array([*self.domains, UNKNOWN], dtype=np.str_)
        best = scores.argmax(axis=1)
        worded = np.bincount(found.row[found.kind == WORD], minlength=n) > 0
        best[~worded | (_shares(scores).max(axis=1) < SURE)] = len(self.domains)
        return np.asarray(names[best])

    def why(self, text: str) -> str:
        """What speaks for the domain of a text, in a line: how sure it is, and the n-grams with most weight for it.

        An amount is by how much an n-gram lifts the domain above the next one.
        """
        column = pa.array([text], pa.large_string())
        found = ngrams(column, self.bits)
        scores = self._scores(found, 1)[0]
        first, second = np.argsort(-scores, kind="stable")[:2]
        shares = _shares(scores[None])[0]
        lead = self.weights[found.bucket, first].astype(np.int64) - self.weights[found.bucket, second]
        amounts: dict[str, float] = {}
        for at in np.flatnonzero(lead > 0):
            name = found.text(int(at))
            amounts[name] = amounts.get(name, 0.0) + float(lead[at]) * self.scale / float(np.sqrt(len(lead)))
        best = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]
        named = ", ".join(f"“{name}” {amount:+.2f}" for name, amount in best) or "no n-gram, its bias alone"
        if WORD not in found.kind:
            return "no word in it"
        if shares[first] < SURE:
            return f"no domain has a share of {SURE:.0%}; {self.domains[first]} comes next with {shares[first]:.0%}"
        return f"{shares[first]:.0%}, before {self.domains[second]} with {shares[second]:.0%}; for it: {named}"

    def save(self, path: Path) -> None:
        """Write the model as one safetensors file."""
        about = json.dumps({"version": VERSION, "domains": self.domains, "scale": self.scale})
        path.write_bytes(save({"weights": self.weights, "bias": self.bias}, metadata={ABOUT: about}))

    @classmethod
    def load(cls, path: Path) -> DomainModel:
        """The model in a file that `save` wrote.

        Raises:
            RecipeError: there is no such file, or it is no domain model of this version.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                about, names = json.loads((file.metadata() or {})[ABOUT]), set(file.keys())
                if about.get("version") != VERSION or names != {"weights", "bias"}:
                    raise _foreign(path, f"one of version {about.get('version')}")
                model = cls(
                    domains=tuple(about["domains"]),
                    weights=file.get_tensor("weights"),
                    scale=float(about["scale"]),
                    bias=file.get_tensor("bias"),
                )
            model._check(path)
        except FileNotFoundError:
            raise _foreign(path, "no file") from None
        except (SafetensorError, OSError, AttributeError, KeyError, ValueError, TypeError) as error:
            raise _foreign(path, type(error).__name__) from error
        return model

    def _check(self, path: Path) -> None:
        n = len(self.domains)
        shape = (1 << self.bits, n)
        if not set(self.domains) <= set(DOMAINS) or len(set(self.domains)) != n or n < 2:
            raise _foreign(path, f"the domains {', '.join(map(str, self.domains))[:80] or 'none'}")
        if self.weights.dtype != np.int8 or self.weights.shape != shape or not 0 < self.bits <= MOST_BITS:
            raise _foreign(path, f"weights of {self.weights.dtype} {self.weights.shape}")
        finite = self.bias.dtype == np.float64 and np.isfinite([*self.bias.flat, self.scale]).all()
        if self.bias.shape != (n,) or not finite:
            raise _foreign(path, f"a bias of {self.bias.dtype} {self.bias.shape} and the scale {self.scale}")


def _shares(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray((shares / shares.sum(axis=1, keepdims=True)).round(6))  # the last bits depend on the processor


def _foreign(path: Path, got: str) -> RecipeError:
    return RecipeError(
        f"expected a domain model of version {VERSION} in {readable(str(path))}, got {got}; name a file that "
        "scripts/train_domain_model.py wrote, or set curate.domains = 'model'"
    )


@cache
def loaded(path: Path) -> DomainModel:
    """`DomainModel.load`, once per path."""
    return DomainModel.load(path)
