"""Reads an HTTP archive as one reads a recorded page, and prints each request with the status of its answer."""

import json
import sys

from haralyzer import HarParser
from haralyzer.assets import HarEntry

archive = HarParser(json.load(sys.stdin))
entries = [HarEntry(entry) for entry in archive.har_data["entries"]]
print(json.dumps([[entry.request.method, entry.request.url, entry.response.status] for entry in entries]))
