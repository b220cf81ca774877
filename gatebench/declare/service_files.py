"""Services: what stacks need beside them."""

from __future__ import annotations

from pathlib import Path

from gatebench.declare.places import check_words, contained, named, settings_of
from gatebench.errors import UsageError
from gatebench.model import (
    Service,
)
from gatebench.toml import (
    load_toml,
    text,
    texts,
    texts_by_name,
)

KINDS = ("postgresql", "mysql", "redis", "http")


def services(root: Path) -> dict[str, Service]:
    """Find every file of compose/services/; a tree without services has none."""
    folder = root / "compose" / "services"
    return {path.stem: _service(path, root) for path in sorted(folder.glob("*.toml"))}


def _service(path: Path, root: Path) -> Service:
    declared = load_toml(path, root)
    seed = declared.take("seed", "the path of an SQL file beside this one", text, default="")
    service = Service(
        name=named(path, root),
        kind=declared.take("kind", f"one of {', '.join(KINDS)}", lambda value: value if value in KINDS else None),
        variable=declared.take("variable", "the name of an environment variable", text),
        url=declared.take("url", "a URL with {port}", text),
        requirements=declared.take("requirements", "a list of requirements", texts),
        command=declared.take("command", "a list of words", texts),
        prepare=declared.take("prepare", "a list of words", texts, default=()),
        settings=settings_of(declared, str(path.relative_to(root)), default={}),
        programs=declared.take("programs", "the folder of its programs, with a / at its end", text, default=""),
        installed=declared.take("installed", "where Debian's programs lie, with a / at its end", text, default=""),
        needs=declared.take("needs", "a table of programs with Debian's packages", texts_by_name, default={}),
        **contained(declared, str(path.relative_to(root))),
        seed=path.parent / seed if seed else None,
        folder=path.parent,
    )
    declared.done()
    if service.seed is not None and not service.seed.is_file():
        raise UsageError(f"{path.relative_to(root)}: the key 'seed' names '{seed}'; expected a file beside it.")
    check_words(path, root, (service.programs, service.url), {}, ("host", "port", "site_packages"))
    given = ("python", "host", "port", "data", "folder", "programs")
    check_words(path, root, (*service.prepare, service.after_prepare, *service.command), service.settings, given)
    return service
