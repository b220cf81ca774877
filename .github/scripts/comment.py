"""Puts a gate's report under a pull request, in the place of the one that it put there before.

`comment.py FILE`, with GATE_TOKEN, GATE_PULL_REQUEST and GATE_NAME in the environment, and GATE_NOTE for a line above
the report. Anybody may write a comment that begins with the marker: only one of the token's own account is renewed.
A token that may not write, as those of pull requests from forks, is a warning: the report is in the job's summary,
too.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PAGE = 100  # comments that GitHub gives at once
MOST = 65_000  # characters; GitHub takes 65,536
TIMEOUT_S = 30.0
BOT = "github-actions[bot]"  # whom a workflow's own token writes as


def ask(method: str, path: str, body: str | None = None) -> Any:
    """Speak to GitHub's interface."""
    request = urllib.request.Request(  # noqa: S310 - the address is GitHub's own, as the runner says it
        f"{os.environ.get('GITHUB_API_URL', 'https://api.github.com')}/{path}",
        data=None if body is None else json.dumps({"body": body}).encode(),
        method=method,
        headers={
            "Authorization": f"Bearer {os.environ['GATE_TOKEN']}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the same
        return json.load(answer)


def account() -> tuple[str, str]:
    """Give login and type of the account that the token writes as."""
    try:
        user = ask("GET", "user")
    except urllib.error.HTTPError:  # a workflow's own token is nobody's
        return BOT, "Bot"
    return str(user["login"]), str(user["type"])


def earlier(comments_at: str, marker: str) -> int | None:
    """Find the comment of the token's own account that begins with the marker."""
    page, own = 1, account()
    while True:
        comments = ask("GET", f"{comments_at}?per_page={PAGE}&page={page}")
        for comment in comments:
            author = comment.get("user") or {}  # None of an account that is gone
            if str(comment["body"]).startswith(marker) and (author.get("login"), author.get("type")) == own:
                return int(comment["id"])
        if len(comments) < PAGE:
            return None
        page += 1


def main() -> int:
    """Write the comment, or write it over."""
    marker = f"<!-- gatebench-gate {os.environ.get('GATE_NAME') or 'gate'} -->"
    note, pull_request = os.environ.get("GATE_NOTE", ""), str(int(os.environ["GATE_PULL_REQUEST"]))
    report = Path(sys.argv[1]).read_text(encoding="utf-8")
    issues = f"repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    body = "\n\n".join(text for text in (marker, note, report) if text)[:MOST]
    try:
        found = earlier(f"{issues}/{pull_request}/comments", marker)
        if found is None:
            ask("POST", f"{issues}/{pull_request}/comments", body)
        else:
            ask("PATCH", f"{issues}/comments/{found}", body)
    except (OSError, ValueError, urllib.error.HTTPError) as error:
        sys.stdout.write(f"::warning title=gatebench::The pull request has no comment of this gate: {error}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
