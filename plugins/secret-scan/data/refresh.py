#!/usr/bin/env python3
"""Writes gitleaks-rules.json from the rule data of the crate `keyspoor`, which carries the rules of gitleaks in the
regular-expression dialect of Rust.

Usage: cargo info keyspoor          # downloads the crate
       python3 refresh.py ~/.cargo/registry/src/*/keyspoor-*/src/builtin_rules.json

Rules that only hold for files of some name are left out, since a request has no file name; so are conditions on
paths. What every rule has in common is written once.
"""
import json
import sys
from pathlib import Path

rules = json.loads(Path(sys.argv[1]).read_text())["rules"]


def allow(entry):
    return {key: entry[key] for key in ("target", "regexes", "stopwords") if entry[key]}


# The first entry of every rule is the global allowlist.
common = allow(rules[0]["allowlist"][0])
assert all(allow(rule["allowlist"][0]) == common for rule in rules)

written = []
for rule in rules:
    if rule["path"]:
        continue
    entries = [e for e in rule["allowlist"][1:] if e["condition"] == "or" and (e["regexes"] or e["stopwords"])]
    item = {"id": rule["id"], "regex": rule["pattern"], "keywords": rule["keywords"]}
    if rule["min_entropy"]:
        item["entropy"] = rule["min_entropy"]
    if rule["secret_group"]:
        item["group"] = rule["secret_group"]
    if entries:
        item["allow"] = [allow(entry) for entry in entries]
    written.append(item)

lines = ",\n".join(json.dumps(item) for item in written)
text = f'{{"common": {json.dumps(common)},\n"rules": [\n{lines}\n]}}\n'
json.loads(text)
Path(__file__).with_name("gitleaks-rules.json").write_text(text)
print(f"{len(written)} rules")
