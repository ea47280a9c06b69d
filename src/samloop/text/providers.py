"""The token formats of known providers: what each key begins with, and the shape of the rest.

Prefixes and lengths are those the providers document, or that public secret scanners (GitHub's secret scanning
partners, gitleaks, trufflehog) list. Lengths are a little wider than documented where a provider has changed them
before. A key is only one if it looks random as well (`checks.random_looking`), so a name such as ``sk-learn-style``
or a documentation's EXAMPLE key stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_HEAD: Final = r"[A-Za-z0-9_+/=.,%\-]{8}"


@dataclass(frozen=True, slots=True)
class Provider:
    """One token format.

    Attributes:
        name: whose token it is; for people.
        body: the shape after the prefix.
        begins: literal prefixes, of which one stands at the start of every token, in their own case.
        head: what follows the prefix at least, for the bulk pre-filter.
    """

    name: str
    body: str
    begins: tuple[str, ...]
    head: str = _HEAD

    @property
    def boundary(self) -> str:
        """A long prefix with a sign at its end may follow a letter, as after an escaped line end; others may not."""
        return "" if all(len(b) >= 4 and b[-1] in "_-.=$" for b in self.begins) else r"\b"

    @property
    def pattern(self) -> str:
        """The whole token."""
        return f"{self.boundary}{self._prefix}{self.body}"

    @property
    def _prefix(self) -> str:
        return _either(self.begins)


def _either(literals: Sequence[str]) -> str:
    # In order, so that RE2 finds the beginnings they share: a quarter faster to build and to run.
    return f"(?:{'|'.join(map(re.escape, sorted(literals)))})"


def keywords(providers: Sequence[Provider]) -> list[str]:
    """Cheap expressions of which one matches every text in which a token stands.

    Prefixes with the same head share it: a hundred heads of their own would take RE2 longer to compile than to look.
    """
    shared: dict[tuple[str, str], list[str]] = {}
    for provider in providers:
        shared.setdefault((provider.boundary, provider.head), []).extend(provider.begins)
    return [f"{boundary}{_either(begins)}{head}" for (boundary, head), begins in shared.items()]


_ALNUM, _URL_SAFE, _HEX, _UUID = (
    "[A-Za-z0-9]",
    r"[A-Za-z0-9_\-]",
    "[0-9a-f]",
    "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
)


def _of(name: str, body: str, *begins: str, head: str = _HEAD) -> Provider:
    return Provider(name, body, begins, head)


PROVIDERS: Final[tuple[Provider, ...]] = (
    _of("AWS access key", r"[A-Z0-9]{16}\b", "AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ANPA", "ABIA", "ACCA"),
    _of("AWS Bedrock", r"[A-Za-z0-9+/=]{60,1000}", "ABSKQ"),
    _of("GitHub", _ALNUM + r"{36,255}\b", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _of("GitHub fine-grained", r"[A-Za-z0-9_]{22,255}\b", "github_pat_"),
    _of("GitLab", r"[A-Za-z0-9_\-.]{20,255}\b", "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-",
        "glagent-", "glimt-", "glffct-", "gloas-"),
    _of("GitLab runner", _URL_SAFE + "{20,64}", "GR1348941"),
    _of("Bitbucket, Atlassian", r"[A-Za-z0-9_\-=]{24,250}", "ATBB", "ATATT3xFf", "ATCTT3xFf"),
    _of("OpenAI, Anthropic, DeepSeek, OpenRouter", _URL_SAFE + "{20,250}", "sk-", head=r"[A-Za-z0-9_\-]{16}"),
    _of("Slack", r"[A-Za-z0-9\-.]{10,250}\b", "xoxa-", "xoxb-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-",
        "xoxc-", "xoxd-"),
    _of("Slack app", r"[0-9]-[A-Za-z0-9\-]{20,250}", "xapp-", head=r"[0-9]-[A-Za-z0-9\-]"),
    _of("Google API", _URL_SAFE + "{35}", "AIza"),
    _of("Google OAuth", _URL_SAFE + "{20,500}", "ya29."),
    _of("Google OAuth refresh", _URL_SAFE + "{30,200}", "1//0", head=r"[A-Za-z0-9_\-]{20}"),
    _of("Google OAuth client", _URL_SAFE + "{28}", "GOCSPX-"),
    _of("Stripe, Clerk, Paystack", _ALNUM + r"{16,200}\b", "sk_live_", "sk_test_", "rk_live_", "rk_test_",
        "pk_live_", "pk_test_"),
    _of("Stripe webhook, Svix", "[A-Za-z0-9+/=]{24,100}", "whsec_"),
    _of("Square", _URL_SAFE + "{22,60}", "sq0atp-", "sq0csp-", "sq0idp-"),
    _of("Square access, Facebook", _URL_SAFE + "{50,250}", "EAAA", "EAAC", "EAAG", "EAAB", "EAAE", "EAAD",
        head=r"[A-Za-z0-9_\-]{30}"),
    _of("Braintree", r"[a-z0-9]{16}\$[0-9a-f]{32}\b", "access_token$production$", "access_token$sandbox$"),
    _of("Razorpay", _ALNUM + r"{14,30}\b", "rzp_live_", "rzp_test_"),
    _of("Flutterwave", r"[A-Za-z0-9\-]{12,60}", "FLWSECK-", "FLWSECK_TEST-", "FLWPUBK_TEST-"),
    _of("Plaid", _UUID, "access-sandbox-", "access-production-", "access-development-"),
    _of("Shopify", r"[0-9a-fA-F]{32}\b", "shpat_", "shpca_", "shppa_", "shpss_", "shptka_"),
    _of("Twilio", r"[0-9a-f]{32}\b", "AC", "SK", head=r"[0-9a-f]{12}"),
    _of("SendGrid", r"[A-Za-z0-9_\-]{16,64}\.[A-Za-z0-9_\-]{16,64}", "SG."),
    _of("Mailgun", r"(?:[0-9a-f]{32}|[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8})\b", "key-", head=r"[0-9a-f]{12}"),
    _of("Brevo", r"[0-9a-f]{64}-[A-Za-z0-9]{16}", "xkeysib-", "xsmtpsib-"),
    _of("Resend", r"[A-Za-z0-9]{8}_[A-Za-z0-9]{20,40}", "re_", head=r"[A-Za-z0-9]{8}_[A-Za-z0-9]{12}"),
    _of("Hugging Face", _ALNUM + r"{30,60}\b", "hf_", "api_org_"),
    _of("npm", _ALNUM + r"{36}\b", "npm_"),
    _of("PyPI", _URL_SAFE + "{50,500}", "pypi-"),
    _of("RubyGems", _HEX + r"{48}\b", "rubygems_"),
    _of("crates.io", _ALNUM + r"{32}\b", "cio", head=r"[A-Za-z0-9]{20}"),
    _of("NuGet", r"[a-z0-9]{43}\b", "oy2", head=r"[a-z0-9]{20}"),
    _of("Clojars", r"[a-z0-9]{60}\b", "CLOJARS_"),
    _of("Docker Hub", _URL_SAFE + "{20,60}", "dckr_pat_", "dckr_oat_"),
    _of("DigitalOcean", _HEX + r"{64}\b", "doo_v1_", "dop_v1_", "dor_v1_"),
    _of("Heroku", _URL_SAFE + "{30,80}", "HRKU-"),
    _of("Netlify", _ALNUM + "{30,60}", "nfp_", "nfc_", "nfo_", "nfu_"),
    _of("Vercel", r"[A-Za-z0-9_]{20,100}", "vercel_blob_rw_", "vcp_", "vci_", "vca_", "vcr_", "vck_"),
    _of("Fly.io", r"[A-Za-z0-9+/=,_\-]{40,1000}", "fo1_", "fm1r_", "fm1a_", "fm2_"),
    _of("Render", _ALNUM + "{20,50}", "rnd_"),
    _of("Cloudflare", r"[0-9a-f]{24}-[0-9a-f]{100,200}", "v1.0-"),
    _of("Cloudflare token", _URL_SAFE + "{32,80}", "cfut_", "cfat_", "cfk_"),
    _of("Alibaba", _ALNUM + r"{12,24}\b", "LTAI"),
    _of("Tencent", _ALNUM + r"{32}\b", "AKID"),
    _of("Databricks", r"[0-9a-f]{32}(?:-[0-9])?\b", "dapi"),
    _of("Dynatrace", r"[A-Z0-9]{24}\.[A-Z0-9]{64}\b", "dt0c01.", "dt0s01.", "dt0s16."),
    _of("New Relic", r"[A-Za-z0-9\-]{19,64}\b", "NRAK-", "NRJS-", "NRII-", "NRIQ-", "NRRA-", "NRSP-"),
    _of("Grafana", r"[A-Za-z0-9_=+/\-]{32,400}", "glsa_", "glc_"),
    _of("Sentry", r"[A-Za-z0-9_=+/\-.]{40,500}\b", "sntrys_", "sntryu_", "sntrya_", "sntryi_"),
    _of("PostHog", _ALNUM + "{30,60}", "phc_", "phx_", "phs_"),
    _of("Honeycomb", r"[a-z0-9]{40,80}", "hcaik_", "hcbik_", "hcxik_"),
    _of("LaunchDarkly", _UUID, "sdk-", "mob-", "api-", head=r"[0-9a-f]{8}-[0-9a-f]{4}-"),
    _of("Linear", _ALNUM + r"{32,64}\b", "lin_api_", "lin_oauth_"),
    _of("Notion", _ALNUM + r"{40,60}\b", "secret_", "ntn_", head=r"[A-Za-z0-9]{20}"),
    _of("Airtable", r"[A-Za-z0-9]{14}\.[0-9a-f]{64}\b", "pat", head=r"[A-Za-z0-9]{14}\.[0-9a-f]{8}"),
    _of("Figma", _URL_SAFE + "{30,80}", "figd_", "figo_"),
    _of("HubSpot", _UUID, "pat-na1-", "pat-na2-", "pat-eu1-"),
    _of("Typeform", r"[A-Za-z0-9_\-.]{40,80}\b", "tfp_"),
    _of("Postman", r"[0-9a-f]{24}-[0-9a-f]{34}\b", "PMAK-"),
    _of("Contentful", _URL_SAFE + "{40,64}", "CFPAT-"),
    _of("Mapbox", r"eyJ[A-Za-z0-9_\-]{20,200}\.[A-Za-z0-9_\-]{15,60}", "sk.", "pk.", head=r"eyJ"),
    _of("HashiCorp Vault", r"[A-Za-z0-9_\-.]{24,300}\b", "hvs.", "hvb.", "hvr."),
    _of("Pulumi", _HEX + r"{40}\b", "pul-"),
    _of("Doppler", r"[A-Za-z0-9.]{20,80}\b", "dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."),
    _of("1Password", r"eyJ[A-Za-z0-9_=+/\-]{100,1000}", "ops_"),
    _of("age", r"[A-Z0-9]{58}\b", "AGE-SECRET-KEY-1"),
    _of("Infracost, Prefect", _ALNUM + r"{32,40}\b", "ico-", "pnu_", "pnb_"),
    _of("PlanetScale", r"[A-Za-z0-9_=\-.]{32,64}\b", "pscale_tkn_", "pscale_pw_", "pscale_oauth_"),
    _of("Supabase", r"[A-Za-z0-9_\-]{30,60}\b", "sbp_", "sb_secret_"),
    _of("Neon", _ALNUM + r"{48,80}\b", "napi_"),
    _of("Pinecone", r"[A-Za-z0-9_]{50,90}\b", "pcsk_"),
    _of("Confluent", _ALNUM + r"{40,80}", "cflt", head=r"[A-Za-z0-9]{20}"),
    _of("CircleCI", _ALNUM + "{20,30}_[0-9a-f]{40}", "CCIPAT_", "CCIPRJ_"),
    _of("Buildkite", _ALNUM + r"{40,64}\b", "bkua_"),
    _of("Tailscale", r"[A-Za-z0-9_\-]{20,100}", "tskey-"),
    _of("Sourcegraph", r"[A-Za-z0-9_]{40,60}\b", "sgp_"),
    _of("Groq", _ALNUM + r"{40,80}\b", "gsk_"),
    _of("Replicate", _ALNUM + r"{37,40}\b", "r8_"),
    _of("Perplexity", _ALNUM + r"{40,64}\b", "pplx-"),
    _of("xAI", _ALNUM + r"{70,90}\b", "xai-"),
    _of("Fireworks", _ALNUM + r"{20,40}\b", "fw_"),
    _of("LangSmith", r"[0-9a-f]{32}_[0-9a-f]{10}\b", "lsv2_pt_", "lsv2_sk_"),
    _of("Langfuse", _UUID, "sk-lf-", "pk-lf-"),
    _of("NVIDIA", _URL_SAFE + "{60,80}", "nvapi-"),
    _of("Weights & Biases", _URL_SAFE + "{40,100}", "wandb_v1_"),
    _of("Tavily", r"[A-Za-z0-9\-]{30,60}", "tvly-"),
    _of("Adafruit", _ALNUM + r"{28}\b", "aio_"),
    _of("EasyPost", _ALNUM + r"{54}\b", "EZAK", "EZTK"),
    _of("Shippo", _HEX + r"{40}\b", "shippo_live_", "shippo_test_"),
    _of("Duffel", r"[A-Za-z0-9_\-]{40,60}", "duffel_live_", "duffel_test_"),
    _of("ReadMe", r"[a-z0-9]{70}\b", "rdme_"),
    _of("JFrog", _ALNUM + r"{60,80}\b", "AKCp", "cmVmd"),
    _of("X", "[A-Za-z0-9%]{60,120}", "AAAAAAAAAAAAAAAAAAAA", head=r"[A-Za-z0-9%]{20}"),
    _of("Frame.io", _URL_SAFE + "{60,70}", "fio-u-"),
)  # fmt: skip
