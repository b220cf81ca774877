"""Apache with mod_wsgi, as whoever starts it, even where that is root.

Called with the app's target and options of `mod_wsgi-express setup-server`. Apache refuses to run requests as root
and would change to another user, who can read neither a home folder of mode 0700 nor what lies below it. In a user
namespace of its own root is an ordinary user, and what it may read is what it could read before. Where the machine
gives no namespace, Apache changes to a user as it is used to, who must then be able to read all that the app needs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

USER = "www-data"  # of Debian's Apache
ALWAYS = ("--locale", "C.UTF-8", "--log-to-terminal", "--log-level", "warn", "--disable-reloading")


def main() -> None:
    """Become mod_wsgi-express."""
    target, *options = sys.argv[1:]
    module, _, attribute = target.partition(":")
    # Python in Apache knows neither the environment variable for its path nor the app's folder, unless told.
    paths = [f"--python-path={path}" for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    express = str(Path(sys.executable).with_name("mod_wsgi-express"))
    words = [sys.executable, express, "setup-server", "--application-type", "module"]
    words += ["--callable-object", attribute, *ALWAYS, *paths, *options, module]
    before, after = other_user(module) if os.geteuid() == 0 else ([], [])
    made = subprocess.run([*before, *words, *after], stdout=subprocess.DEVNULL, check=False).returncode
    if made:
        sys.exit(made)
    # A shell reads its script, since nothing may be run that lies in a container's only folder to write to.
    root = options[options.index("--server-root") + 1]
    words = [*before, "bash", f"{root}/apachectl", "start", "-DFOREGROUND"]
    os.execvp(words[0], words)  # noqa: S606 - a shell would stand between it and who ends it


def other_user(module: str) -> tuple[list[str], list[str]]:
    """Say how not to be root: words before the command, or after it."""
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        sys.exit(f"There is no user {USER}, as whom Apache could run: install apache2, or do not run this as root.")
    namespace = ["unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}"]
    if shutil.which("unshare") and succeeds([*namespace, "true"]):
        return namespace, []
    if succeeds([sys.executable, "-c", f"import mod_wsgi, {module}"], user=USER, group=USER, extra_groups=[]):
        return [], ["--user", USER, "--group", USER]
    sys.exit(
        f"Apache does not run as root, this machine gives it no user namespace, and the user {USER} cannot read the "
        f"environment at {sys.prefix} or the app at {Path.cwd()}: run this as an ordinary user, or move both."
    )


def succeeds(words: list[str], **options: Any) -> bool:
    """Say whether a command can be started and ends well."""
    try:
        return bool(subprocess.run(words, capture_output=True, check=False, **options).returncode == 0)
    except OSError:
        return False


if __name__ == "__main__":
    main()
