"""Presidio's pattern recognisers over a list of texts; run by the interpreter of Presidio's own environment.

Reads {"texts": […]} from standard input, writes {"found": [[[kind, start, end], …], …], "seconds", "version"}.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import sys
import time
import warnings

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

import tldextract  # noqa: E402

# Its mail recogniser asks the network for a list of domains at first use; the list in the package is used instead.
tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())

from presidio_analyzer.predefined_recognizers import (  # noqa: E402
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)

KINDS = {
    "EMAIL_ADDRESS": EmailRecognizer(),
    "CREDIT_CARD": CreditCardRecognizer(),
    "IBAN_CODE": IbanRecognizer(),
    "IP_ADDRESS": IpRecognizer(),
    "PHONE_NUMBER": PhoneRecognizer(),
    "US_SSN": UsSsnRecognizer(),
}


def main() -> None:
    """Analyse every text by each recogniser; the first hundred texts once more beforehand, to warm up."""
    texts = json.load(sys.stdin)["texts"]
    for text in texts[:100]:
        for kind, recogniser in KINDS.items():
            recogniser.analyze(text, [kind], None)
    began, found = time.process_time(), []
    for text in texts:
        spans = []
        for kind, recogniser in KINDS.items():
            spans += [(kind, r.start, r.end, r.score) for r in recogniser.analyze(text, [kind], None) or []]
        found.append(spans)
    seconds = time.process_time() - began
    version = f"presidio-analyzer {importlib.metadata.version('presidio-analyzer')}"
    json.dump({"found": found, "seconds": seconds, "version": version}, sys.stdout)


if __name__ == "__main__":
    main()
